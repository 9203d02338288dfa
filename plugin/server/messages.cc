// SPDX-License-Identifier: Apache-2.0
#include "plugin/server/messages.h"

#include <string>

namespace dp::server {
namespace {

// k8s.io/kubelet, pkg/apis/deviceplugin/v1beta1/constants.go.
constexpr char kHealthy[] = "Healthy";
constexpr char kUnhealthy[] = "Unhealthy";
// All of them, as KubeVirt's own plugin asks for: libvirt in the container makes its own nodes.
constexpr char kPermissions[] = "mrw";

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.raw_code()), std::string(status.message())};
}

void FillList(std::span<const core::Offer> offers, v1beta1::ListAndWatchResponse& list) {
  list.mutable_devices()->Reserve(static_cast<int>(offers.size()));
  for (const core::Offer& offer : offers) {
    v1beta1::Device& device = *list.add_devices();
    device.set_id(offer.id);
    device.set_health(offer.healthy() ? kHealthy : kUnhealthy);
    // No node is not node 0: the topology manager would align such a device with it.
    if (offer.numa_node) device.mutable_topology()->add_nodes()->set_id(*offer.numa_node);
  }
}

void FillAllocation(const core::Grant& grant, v1beta1::ContainerAllocateResponse& response) {
  for (const auto& [name, value] : grant.environment) (*response.mutable_envs())[name] = value;
  for (const std::string& path : grant.device_nodes) {
    v1beta1::DeviceSpec& node = *response.add_devices();
    node.set_container_path(path);
    node.set_host_path(path);
    node.set_permissions(kPermissions);
  }
  for (const std::string& name : grant.cdi_devices) response.add_cdi_devices()->set_name(name);
  v1beta1::Mount& mount = *response.add_mounts();
  mount.set_container_path(grant.settings.container_path);
  mount.set_host_path(grant.settings.host_path);
  mount.set_read_only(true);
}

}  // namespace dp::server
