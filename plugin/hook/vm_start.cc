// SPDX-License-Identifier: Apache-2.0
#include "plugin/hook/vm_start.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/guest/examine.h"
#include "plugin/guest/memory_map.h"

namespace dp::hook {
namespace {

absl::Status Refuse(const std::string& sentence) { return absl::FailedPreconditionError(sentence); }

bool AsksForOneOf(const guest::Vmi& vmi, const std::vector<std::string>& resources) {
  return std::any_of(vmi.resources.begin(), vmi.resources.end(), [&](const std::string& resource) {
    return std::find(resources.begin(), resources.end(), resource) != resources.end();
  });
}

absl::StatusOr<std::vector<guest::Range>> MapOf(const guest::Vmi& vmi) {
  auto map = guest::MemoryMap(guest::LayoutOf(vmi));
  if (!map.ok()) {
    return Refuse(
        fmt::format("QEMU does not start such a guest: {}", std::string(map.status().message())));
  }
  return map;
}

// Which device is whose is not known, so any window of the pool may be that of this machine.
absl::StatusOr<std::vector<std::string>> CheckPool(const guest::Vmi& vmi, const core::Pool& pool) {
  ASSIGN_OR_RETURN(const auto map, MapOf(vmi));
  const guest::DeviceWindow whole{.device = "the pool of windows",
                                  .window = {.base = pool.start, .size = pool.end - pool.start}};
  ASSIGN_OR_RETURN(auto warnings, guest::Examine(map, std::span(&whole, 1), ""));
  warnings.emplace_back(
      "no pod of it is known to have devices, so the windows in force were not looked at");
  return warnings;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> CheckVmStart(const guest::Vmi& vmi,
                                                      const NodeFacts& facts) {
  if (!AsksForOneOf(vmi, facts.resources)) return std::vector<std::string>{};
  if (facts.held.empty()) return CheckPool(vmi, facts.pool);
  std::vector<guest::DeviceWindow> devices;
  std::string fixed;
  for (const core::HeldGroup& held : facts.held) {
    const std::string device = fmt::format("device {}", held.device);
    if (!held.error.empty()) return Refuse(fmt::format("{}: {}", device, held.error));
    if (held.reserved && held.window != held.reserved) {
      return Refuse(
          fmt::format("{}: the window in force is {}, and {} is reserved for it: delete the pod {}",
                      device, held.window ? core::FormatWindow(*held.window) : "none",
                      core::FormatWindow(*held.reserved), held.pod.name));
    }
    if (!held.grace.empty()) fixed = fmt::format("{} is a Grace GPU", held.grace);
    if (held.window) devices.push_back({.device = device, .window = *held.window});
  }
  // Where no group has a window, as on x86, the machine is another one than the map is of.
  if (devices.empty()) return std::vector<std::string>{};
  ASSIGN_OR_RETURN(const auto map, MapOf(vmi));
  return guest::Examine(map, devices, fixed);
}

}  // namespace dp::hook
