// SPDX-License-Identifier: Apache-2.0
#include "plugin/kubelet/pod_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "api/kubelet/podresources/v1/api.pb.h"

namespace dp::kubelet {
namespace {

using ::testing::ElementsAre;
using ::testing::FieldsAre;
using ::testing::IsEmpty;

v1::ContainerResources& AddContainer(v1::ListPodResourcesResponse& list, const std::string& space,
                                     const std::string& name, const std::string& container) {
  v1::PodResources& pod = *list.add_pod_resources();
  pod.set_namespace_(space);
  pod.set_name(name);
  v1::ContainerResources& added = *pod.add_containers();
  added.set_name(container);
  return added;
}

v1::ContainerDevices& AddDevice(v1::ContainerResources& container, const std::string& resource,
                                const std::string& id) {
  v1::ContainerDevices& device = *container.add_devices();
  device.set_resource_name(resource);
  device.add_device_ids(id);
  return device;
}

std::vector<core::PodDevices> PodsOf(const v1::ListPodResourcesResponse& list) {
  return ParsePodDevices(list.SerializeAsString()).value();
}

TEST(PodDevicesTest, GathersTheDevicesOfEachResource) {
  v1::ListPodResourcesResponse list;
  v1::ContainerResources& compute = AddContainer(list, "vms", "web", "compute");
  AddDevice(compute, "vendor.example/nvme", "0000:02:00.0");
  AddDevice(compute, "vendor.example/gpu", "0000:03:00.0");
  AddDevice(compute, "vendor.example/nvme", "0000:01:00.0");
  AddDevice(AddContainer(list, "other", "web", "main"), "vendor.example/gpu", "0000:04:00.0");
  EXPECT_THAT(PodsOf(list),
              ElementsAre(FieldsAre(FieldsAre("vms", "web"), "compute", "vendor.example/gpu",
                                    ElementsAre("0000:03:00.0")),
                          FieldsAre(FieldsAre("vms", "web"), "compute", "vendor.example/nvme",
                                    ElementsAre("0000:01:00.0", "0000:02:00.0")),
                          FieldsAre(FieldsAre("other", "web"), "main", "vendor.example/gpu",
                                    ElementsAre("0000:04:00.0"))));
}

TEST(PodDevicesTest, ListsADeviceOfSeveralNumaNodesOnce) {
  v1::ListPodResourcesResponse list;
  v1::ContainerResources& container = AddContainer(list, "vms", "web", "compute");
  for (const int node : {0, 1}) {
    v1::ContainerDevices& device = AddDevice(container, "vendor.example/nvme", "0000:01:00.0");
    device.mutable_topology()->add_nodes()->set_id(node);
  }
  EXPECT_THAT(PodsOf(list),
              ElementsAre(FieldsAre(FieldsAre("vms", "web"), "compute", "vendor.example/nvme",
                                    ElementsAre("0000:01:00.0"))));
}

TEST(PodDevicesTest, LeavesOutWhoHasNoDevices) {
  v1::ListPodResourcesResponse list;
  list.add_pod_resources()->set_name("no-containers");
  v1::ContainerResources& container = AddContainer(list, "vms", "no-devices", "main");
  container.add_cpu_ids(3);
  container.add_memory()->set_size(4096);
  container.add_dynamic_resources()->set_claim_name("claim");
  container.add_devices()->set_resource_name("vendor.example/nvme");
  EXPECT_THAT(PodsOf(list), IsEmpty());
}

TEST(PodDevicesTest, PassesOnAPodThatIsListedTwice) {
  v1::ListPodResourcesResponse list;
  AddDevice(AddContainer(list, "vms", "web", "compute"), "vendor.example/nvme", "0000:01:00.0");
  AddDevice(AddContainer(list, "vms", "web", "compute"), "vendor.example/nvme", "0000:02:00.0");
  EXPECT_THAT(PodsOf(list),
              ElementsAre(FieldsAre(FieldsAre("vms", "web"), "compute", "vendor.example/nvme",
                                    ElementsAre("0000:01:00.0")),
                          FieldsAre(FieldsAre("vms", "web"), "compute", "vendor.example/nvme",
                                    ElementsAre("0000:02:00.0"))));
}

// Kubernetes 1.37 adds pod-level cpu_ids (4) and memory (5).
TEST(PodDevicesTest, ReadsTheListOfANewerKubelet) {
  const std::string bytes =
      "\x0a\x1f"      // pod_resources, 31 bytes
      "\x0a\x03web"   //   name
      "\x12\x03vms"   //   namespace
      "\x1a\x0f"      //   containers, 15 bytes
      "\x0a\x04main"  //     name
      "\x12\x07"      //     devices, 7 bytes
      "\x0a\x02r/"    //       resource_name
      "\x12\x01"
      "d"                  //       device_ids
      "\x22\x02\x01\x02";  //   cpu_ids of the pod
  const auto pods = ParsePodDevices(bytes);
  ASSERT_EQ(pods.status(), absl::OkStatus());
  EXPECT_THAT(*pods,
              ElementsAre(FieldsAre(FieldsAre("vms", "web"), "main", "r/", ElementsAre("d"))));
}

TEST(PodDevicesTest, ReadsAnEmptyList) {
  const auto pods = ParsePodDevices("");
  ASSERT_EQ(pods.status(), absl::OkStatus());
  EXPECT_THAT(*pods, IsEmpty());
}

TEST(PodDevicesTest, RefusesWhatIsNoList) {
  for (const std::string_view bytes : {
           "\x0a",                  // a pod without its length
           "\x0a\x7fweb",           // a pod that ends too early
           "\x0a\x03\x0a\x01\xff",  // a name that is no UTF-8
           "hello",
       }) {
    EXPECT_EQ(ParsePodDevices(bytes).status().code(), absl::StatusCode::kDataLoss) << bytes;
  }
}

}  // namespace
}  // namespace dp::kubelet
