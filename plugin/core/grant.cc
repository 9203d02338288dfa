// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/grant.h"

#include <fmt/format.h>

#include <algorithm>

namespace dp::core {

std::string VariableSuffix(std::string_view resource) {
  std::string suffix(resource);
  for (char& c : suffix) {
    if (c == '/' || c == '.') c = '_';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return suffix;
}

Settings::Group DescribeGroup(const Target& target, std::optional<Window> window) {
  Settings::Group group{
      .device = target.offer.id, .number = target.group.number, .functions = {}, .window = window};
  for (const Function& function : target.group.functions) {
    if (!function.is_bridge()) group.functions.push_back(function.name);
  }
  return group;
}

std::vector<std::string> DeviceNodes(std::span<const Target> targets, bool iommufd,
                                     const std::function<bool(const std::string&)>& has_node) {
  std::vector<std::string> nodes{"/dev/vfio/vfio"};
  if (iommufd) nodes.emplace_back("/dev/iommu");
  for (const Target& target : targets) {
    nodes.push_back(fmt::format("/dev/vfio/{}", target.group.number));
    for (const Function& function : target.group.functions) {
      if (function.cdev.empty()) continue;
      const std::string node = "vfio/devices/" + function.cdev;
      if (has_node(node)) nodes.push_back("/dev/" + node);
    }
  }
  return nodes;
}

std::string CdiName(std::string_view resource, std::string_view key) {
  return fmt::format("{}={}", resource, key);
}

Grant MakeGrant(std::span<const Target> targets, const Settings& settings,
                const std::string& settings_directory) {
  const std::string suffix = VariableSuffix(settings.resource);
  Grant grant;
  grant.settings = {.container_path = "/run/vfio-doorbell/" + suffix,
                    .host_path = settings_directory};
  if (settings.cdi) {
    grant.cdi_devices.push_back(CdiName(settings.resource, targets.front().offer.id));
  } else {
    grant.device_nodes = settings.device_nodes;
  }
  std::string functions;
  for (const Target& target : targets) {
    if (!functions.empty()) functions += ',';
    functions += target.offer.function;
  }

  // The kubelet keeps this answer for the life of the pod, so nothing of it may change later: the
  // window, which may, is in the settings alone.
  grant.environment.emplace_back("PCI_RESOURCE_" + suffix, std::move(functions));
  grant.environment.emplace_back("VFIO_DOORBELL_MODE_" + suffix, ModeName(settings.mode));
  grant.environment.emplace_back("VFIO_DOORBELL_SETTINGS_" + suffix,
                                 grant.settings.container_path + "/settings.json");
  return grant;
}

}  // namespace dp::core
