// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/ports.h"

// From the kubelet's list of pods to the types of the core. A pure function.
namespace dp::kubelet {

// What a ListPodResourcesResponse says (`list`: as it goes over the wire,
// api/kubelet/podresources/v1/api.proto): one entry for each container and each of its resources,
// pods and containers in the order of the list, resources and devices sorted.
//
// The kubelet lists a device once for each of its NUMA nodes
// (containerDevicesFromResourceDeviceInstances() of Kubernetes 1.34); here it occurs once. A
// container without devices does not occur, nor does what it got by dynamic resource allocation.
// A pod that is listed twice is passed on twice: kubelets before 1.34 also list pods that have
// finished, and a later pod may have the same name.
//
// DataLoss: it is no such message.
absl::StatusOr<std::vector<core::PodDevices>> ParsePodDevices(std::string_view list);

}  // namespace dp::kubelet
