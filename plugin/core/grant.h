// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugin/core/inventory.h"
#include "plugin/core/offers.h"
#include "plugin/core/settings.h"

// The answer to an Allocate call. Pure functions.
namespace dp::core {

// What the container of an allocation gets.
struct Grant {
  struct Mount {
    std::string container_path;
    std::string host_path;
  };
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::string> device_nodes;  // the same path on the host and in the container
  std::vector<std::string> cdi_devices;   // their names; then there are no `device_nodes`
  Mount settings;                         // a directory with settings.json; read-only
};

// A device of an allocation: what is advertised, and the facts of its group at this moment.
struct Target {
  Offer offer;
  Group group;
};

// "vendor.example/nvme" -> "VENDOR_EXAMPLE_NVME": upper case, "/" and "." become "_", and nothing
// else changes. KubeVirt spells the names of its variables this way and finds no other spelling
// (kubevirt pkg/util, ResourceNameToEnvVar).
std::string VariableSuffix(std::string_view resource);

// All members but bridges, lowest first, and the rest of what a container is told of the group.
// `window` is the one in force.
Settings::Group DescribeGroup(const Target& target, std::optional<Window> window);

// The device nodes of these groups. `has_node` tells whether the host has one, by its path below
// /dev; only then is a VFIO character device handed over: sysfs names it on kernels that make none
// (CONFIG_VFIO_DEVICE_CDEV). With `iommufd` there is /dev/iommu, which is the same for all
// containers and opens nothing but what the nodes beside it allow.
std::vector<std::string> DeviceNodes(std::span<const Target> targets, bool iommufd,
                                     const std::function<bool(const std::string&)>& has_node);

// "vendor.example/nvme=0000:01:00.0": how the answer names the CDI device of an allocation. `key`
// is that of SettingsStore.
std::string CdiName(std::string_view resource, std::string_view key);

// The answer for these devices, whose settings lie in `settings_directory` on the host.
Grant MakeGrant(std::span<const Target> targets, const Settings& settings,
                const std::string& settings_directory);

}  // namespace dp::core
