// SPDX-License-Identifier: Apache-2.0
#include "plugin/checker/check.h"

#include <fmt/format.h>

#include <algorithm>

#include "plugin/base/excerpt.h"
#include "plugin/base/status_macros.h"
#include "plugin/core/grace.h"
#include "plugin/domain/guest_map.h"
#include "plugin/guest/examine.h"

namespace dp::checker {
namespace {

absl::Status Refuse(const std::string& why) { return absl::FailedPreconditionError(why); }

std::string NameOf(core::PciAddress address) { return "device " + core::FormatPciAddress(address); }

// Whether the function is one of NVIDIA's Grace GPUs.
bool IsGrace(core::PciAddress address, const core::Group& group) {
  return std::any_of(group.functions.begin(), group.functions.end(),
                     [address](const core::Function& function) {
                       return function.pci && function.pci->address == address &&
                              core::IsGrace(function.pci->vendor, function.pci->device);
                     });
}

// What is known of the devices; why only the default window will do goes into `fixed`.
absl::Status ReadDevices(const domain::Domain& domain, const FindGroup& find_group,
                         std::vector<Device>& devices, std::string& fixed) {
  if (!domain.smmu.empty()) fixed = fmt::format("the domain has an SMMUv3 ({})", domain.smmu);
  for (const core::PciAddress address : domain.devices) {
    const auto group = find_group(address);
    if (!group.ok()) {
      return Refuse(fmt::format("{}: its window is not known: {}", NameOf(address),
                                std::string(group.status().message())));
    }
    if (fixed.empty() && IsGrace(address, *group)) {
      fixed = fmt::format("{} is a Grace GPU, which comes with an SMMUv3",
                          core::FormatPciAddress(address));
    }
    devices.push_back({.address = address, .group = group->number, .window = group->window});
  }
  return absl::OkStatus();
}

absl::Status CheckWindows(const domain::Domain& domain, std::string_view fixed, Report& report) {
  std::vector<guest::DeviceWindow> windows;
  for (const Device& device : report.devices) {
    if (device.window)
      windows.push_back({.device = NameOf(device.address), .window = *device.window});
  }
  RETURN_IF_ERROR(guest::Examine({}, windows, fixed).status());
  auto warnings = guest::Examine(report.map, windows, "");
  if (!warnings.ok() && !domain.unknown_memory.empty()) {
    return Refuse(fmt::format("{}; where its RAM ends cannot be told, because of {}",
                              std::string(warnings.status().message()),
                              domain.unknown_memory.front()));
  }
  RETURN_IF_ERROR(warnings.status());
  report.warnings = *std::move(warnings);
  for (const auto& [device, window] : windows) {
    const std::string doubt = domain::DoubtAbout(domain, window);
    if (!doubt.empty()) report.warnings.push_back(fmt::format("{}: {}", device, doubt));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Report> Check(const domain::Domain& domain, const FindGroup& find_group) {
  if (!domain.unknown_devices.empty()) {
    return Refuse(fmt::format(
        "{} may give the guest a device that is not among its <devices>, whose window is not known",
        domain.unknown_devices.front()));
  }
  Report report;
  std::string fixed;
  RETURN_IF_ERROR(ReadDevices(domain, find_group, report.devices, fixed));
  const auto with_window =
      std::find_if(report.devices.begin(), report.devices.end(),
                   [](const Device& device) { return device.window.has_value(); });
  // On x86, for example, no group has one.
  const bool has_windows = with_window != report.devices.end();
  if (domain.is_virt()) {
    auto map = domain::MapOf(domain);
    if (!map.ok() && has_windows) return map.status();
    if (map.ok()) report.map = *std::move(map);
  } else if (has_windows) {
    return Refuse(fmt::format(
        "{}: whether its window meets memory of the guest cannot be told: only QEMU's virt for "
        "aarch64 is known, and this is a machine \"{}\" for \"{}\"",
        NameOf(with_window->address), base::Excerpt(domain.machine), base::Excerpt(domain.arch)));
  }
  RETURN_IF_ERROR(CheckWindows(domain, fixed, report));
  return report;
}

absl::StatusOr<Report> CheckXml(std::string_view xml, const FindGroup& find_group) {
  ASSIGN_OR_RETURN(const domain::Domain domain, domain::ParseDomain(xml));
  return Check(domain, find_group);
}

}  // namespace dp::checker
