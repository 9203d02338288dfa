// SPDX-License-Identifier: Apache-2.0
#include "plugin/domain/guest_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace dp::domain {
namespace {

// Of a guest of which only the machine is known.
std::vector<guest::Range> LargestMap() {
  std::vector<guest::Range> map = guest::MemoryMap({.ram = guest::kMib}).value();
  const auto ram = std::find_if(map.begin(), map.end(), [](const guest::Range& range) {
    return range.use == guest::Use::kRam;
  });
  ram->end = std::numeric_limits<std::uint64_t>::max();
  map.erase(ram + 1, map.end());
  return map;
}

}  // namespace

absl::StatusOr<std::vector<guest::Range>> MapOf(const Domain& domain) {
  if (!domain.unknown_memory.empty()) return LargestMap();
  auto map = guest::MemoryMap(LayoutOf(domain));
  if (!map.ok()) {
    return absl::FailedPreconditionError(
        fmt::format("QEMU does not start this guest: {}", std::string(map.status().message())));
  }
  return map;
}

std::string DoubtAbout(const Domain& domain, const core::Window& window) {
  // The 64-bit PCI window lies above RAM, and never below 4 GiB.
  if (domain.unknown_pci.empty() || window.base < 4 * guest::kGib) return {};
  return fmt::format(
      "whether the window {} meets the 64-bit PCI window of the guest cannot be told, because of "
      "{}",
      core::FormatWindow(window), domain.unknown_pci.front());
}

}  // namespace dp::domain
