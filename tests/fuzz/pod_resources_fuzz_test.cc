// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "api/kubelet/podresources/v1/api.pb.h"
#include "plugin/core/pod_index.h"
#include "plugin/core/ports.h"
#include "plugin/kubelet/pod_devices.h"
#include "tests/fuzz/require.h"

// Input: the bytes of a ListPodResourcesResponse, as the kubelet sends it. To see one:
// protoc --decode=v1.ListPodResourcesResponse api/kubelet/podresources/v1/api.proto < FILE
namespace dp::fuzz {
namespace {

// Who holds what, as the message has it: by resource and device.
using Holders = std::map<std::pair<std::string, std::string>, std::set<core::PodName>>;

Holders HoldersIn(const v1::ListPodResourcesResponse& list) {
  Holders holders;
  for (const v1::PodResources& pod : list.pod_resources()) {
    for (const v1::ContainerResources& container : pod.containers()) {
      for (const v1::ContainerDevices& devices : container.devices()) {
        for (const std::string& id : devices.device_ids()) {
          holders[{devices.resource_name(), id}].insert(
              {.space = pod.namespace_(), .name = pod.name()});
        }
      }
    }
  }
  return holders;
}

void RequireSoundEntries(const std::vector<core::PodDevices>& entries, const Holders& holders) {
  for (const core::PodDevices& entry : entries) {
    Require(!entry.devices.empty(), "a container without devices does not occur", entry.container);
    Require(std::is_sorted(entry.devices.begin(), entry.devices.end(), std::less_equal<>()),
            "a device occurs once, in order", entry.resource);
    for (const std::string& device : entry.devices) {
      const auto known = holders.find({entry.resource, device});
      Require(known != holders.end() && known->second.contains(entry.pod), "nothing is made up",
              device);
    }
  }
}

// Each device is found with all pods that have it: one more than one is what the reconciler must
// not take for an owner.
void RequireFound(const std::vector<core::PodDevices>& entries, const Holders& holders) {
  const core::PodIndex index(entries);
  std::map<std::string, std::set<core::PodName>> of_any_resource;
  for (const auto& [key, pods] : holders) {
    const auto& [resource, device] = key;
    of_any_resource[device].insert(pods.begin(), pods.end());
    if (resource.empty()) continue;  // asks for any
    Require(index.HoldersOf(resource, device) == pods, "a device has the pods that hold it",
            device);
  }
  core::Allocation all{.resource = "", .holdings = {}, .cdi = false};
  std::set<core::PodName> everybody;
  for (const auto& [device, pods] : of_any_resource) {
    Require(index.HoldersOf("", device) == pods, "whatever its resource", device);
    all.holdings.push_back({.device = device, .group = 0, .members = "", .reserved = false});
    everybody.insert(pods.begin(), pods.end());
  }
  Require(index.HoldersOf(all) == everybody, "an allocation has the pods of its devices");
}

}  // namespace
}  // namespace dp::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // It logs each text that is no UTF-8.
  [[maybe_unused]] static auto* const kLog = google::protobuf::SetLogHandler(nullptr);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto entries = dp::kubelet::ParsePodDevices(bytes);
  v1::ListPodResourcesResponse list;
  if (!list.ParseFromArray(data, static_cast<int>(size))) {
    dp::fuzz::Require(absl::IsDataLoss(entries.status()), "what is no message is refused",
                      entries.status().ToString());
    return 0;
  }
  dp::fuzz::Require(entries.ok(), "a message is read", entries.status().ToString());
  const dp::fuzz::Holders holders = dp::fuzz::HoldersIn(list);
  dp::fuzz::RequireSoundEntries(*entries, holders);
  dp::fuzz::RequireFound(*entries, holders);
  return 0;
}
