// SPDX-License-Identifier: Apache-2.0
#include "plugin/kubelet/pod_devices.h"

#include <map>
#include <set>
#include <string>
#include <utility>

#include "api/kubelet/podresources/v1/api.pb.h"

namespace dp::kubelet {
namespace {

void AddDevicesOf(const v1::PodResources& pod, std::vector<core::PodDevices>& entries) {
  for (const v1::ContainerResources& container : pod.containers()) {
    std::map<std::string, std::set<std::string>> devices;  // by resource
    for (const v1::ContainerDevices& some : container.devices()) {
      if (some.device_ids().empty()) continue;
      devices[some.resource_name()].insert(some.device_ids().begin(), some.device_ids().end());
    }
    for (const auto& [resource, ids] : devices) {
      entries.push_back({.pod = {.space = pod.namespace_(), .name = pod.name()},
                         .container = container.name(),
                         .resource = resource,
                         .devices = {ids.begin(), ids.end()}});
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<core::PodDevices>> ParsePodDevices(std::string_view list) {
  v1::ListPodResourcesResponse response;
  if (!std::in_range<int>(list.size()) ||
      !response.ParseFromArray(list.data(), static_cast<int>(list.size()))) {
    return absl::DataLossError("what it says is no ListPodResourcesResponse");
  }
  std::vector<core::PodDevices> entries;
  for (const v1::PodResources& pod : response.pod_resources()) AddDevicesOf(pod, entries);
  return entries;
}

}  // namespace dp::kubelet
