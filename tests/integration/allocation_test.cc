// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/integration/world.h"

// What the kubelet gets for its calls, and what they do to the host.

namespace dp::integration {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class AllocationTest : public World {
 protected:
  std::vector<std::string> Nodes(const v1beta1::ContainerAllocateResponse& response) {
    std::vector<std::string> nodes;
    for (const auto& node : response.devices()) {
      EXPECT_EQ(node.host_path(), node.container_path());
      EXPECT_EQ(node.permissions(), "mrw");
      nodes.push_back(node.host_path());
    }
    return nodes;
  }
  grpc::Status Allocate(const std::vector<std::string>& devices,
                        v1beta1::ContainerAllocateResponse* response = nullptr) {
    return kubelet_.Allocate(kResource, devices, response);
  }
};

TEST_F(AllocationTest, ListsGroupsWithHealthAndNode) {
  AddDevice("0000:01:00.0", 11);
  sysfs_.AddPciFunction({.address = "0000:02:00.0", .group = 12, .numa_node = 1});
  AddNode("12");
  sysfs_.AddPciFunction({.address = "0000:03:00.0", .group = 13});
  AddNode("13");
  sysfs_.AddPciFunction({.address = "0000:03:00.1", .group = 13, .driver = "snd_hda_intel"});
  sysfs_.AddPciFunction({.address = "0000:04:00.0", .group = 14, .vendor = 0x8086});
  AddNode("14");
  StartAndList(3);
  const auto devices = kubelet_.Get(kResource).devices;
  EXPECT_EQ(devices.at("0000:01:00.0").health(), "Healthy");
  EXPECT_FALSE(devices.at("0000:01:00.0").has_topology()) << "no NUMA node is not node 0";
  ASSERT_EQ(devices.at("0000:02:00.0").topology().nodes_size(), 1);
  EXPECT_EQ(devices.at("0000:02:00.0").topology().nodes(0).id(), 1);
  EXPECT_EQ(devices.at("0000:03:00.0").health(), "Unhealthy");
  EXPECT_TRUE(
      daemon_->WaitForLog("0000:03:00.1 in the same IOMMU group is on driver snd_hda_intel"))
      << daemon_->log();
}

TEST_F(AllocationTest, AnswersExactly) {
  sysfs_.AddPciFunction({.address = "0000:01:00.0", .group = 11, .cdev = "vfio4"});
  AddNode("11");
  sysfs_.AddPciFunction({.address = "0000:01:00.1", .group = 11, .cdev = "vfio5"});
  sysfs_.SetMsiWindow(11, "0x08000000 0x00100000");
  AddDevice("0000:02:00.0", 12);
  AddDevice("0000:03:00.0", 13);
  const std::ofstream node(path("dev/vfio/devices/vfio4"));  // vfio5 has no node
  StartAndList(3);

  v1beta1::ContainerAllocateResponse response;
  const grpc::Status status = Allocate({"0000:02:00.0", "0000:01:00.0"}, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(Nodes(response), ElementsAre("/dev/vfio/vfio", "/dev/vfio/11",
                                           "/dev/vfio/devices/vfio4", "/dev/vfio/12"));
  EXPECT_THAT(
      response.envs(),
      UnorderedElementsAre(Pair("PCI_RESOURCE_VENDOR_EXAMPLE_NVME", "0000:01:00.0,0000:02:00.0"),
                           Pair("VFIO_DOORBELL_MODE_VENDOR_EXAMPLE_NVME", "enforce"),
                           Pair("VFIO_DOORBELL_SETTINGS_VENDOR_EXAMPLE_NVME",
                                "/run/vfio-doorbell/VENDOR_EXAMPLE_NVME/settings.json")));
  ASSERT_EQ(response.mounts_size(), 1);
  EXPECT_EQ(response.mounts(0).container_path(), "/run/vfio-doorbell/VENDOR_EXAMPLE_NVME");
  EXPECT_EQ(response.mounts(0).host_path(), path("state/0000:01:00.0"));
  EXPECT_TRUE(response.mounts(0).read_only());
  EXPECT_EQ(response.annotations_size() + response.cdi_devices_size(), 0);

  EXPECT_EQ(WindowOf(11), "0x09100000 0x00100000");
  EXPECT_EQ(WindowOf(12), "0x09100000 0x00100000");
  EXPECT_EQ(WindowOf(13), "0x08000000 0x00100000");

  const auto json = nlohmann::json::parse(ReadAll(path("state/0000:01:00.0/settings.json")));
  EXPECT_EQ(json["mode"], "enforce");
  EXPECT_EQ(json["window"]["base"], "0x09100000");
  EXPECT_EQ(json["groups"][0]["functions"],
            (std::vector<std::string>{"0000:01:00.0", "0000:01:00.1"}));
  EXPECT_EQ(json["groups"][1]["number"], 12);
  EXPECT_TRUE(kubelet_.PreStartContainer(kResource, {"0000:01:00.0", "0000:02:00.0"}).ok());
}

TEST_F(AllocationTest, RefusesMalformedCallsAndChangesNothing) {
  AddDevice("0000:01:00.0", 11);
  sysfs_.AddPciFunction({.address = "0000:02:00.0", .group = 12});
  sysfs_.AddPciFunction({.address = "0000:02:00.1", .group = 12, .driver = "nvme"});
  StartAndList(2);
  struct Case {
    std::vector<std::string> devices;
    grpc::StatusCode code;
    std::string message;
  };
  for (const Case& c : std::vector<Case>{
           {{},
            grpc::StatusCode::INVALID_ARGUMENT,
            "no device of vendor.example/nvme is asked for"},
           {{"0000:09:00.0"}, grpc::StatusCode::NOT_FOUND, "has no device 0000:09:00.0"},
           {{""}, grpc::StatusCode::NOT_FOUND, "has no device "},
           {{"../../etc"}, grpc::StatusCode::NOT_FOUND, "has no device ../../etc"},
           {{"0000:01:00.0", "0000:01:00.0"},
            grpc::StatusCode::INVALID_ARGUMENT,
            "device 0000:01:00.0 is asked for twice"},
           {{"0000:01:00.0", "0000:02:00.0"},
            grpc::StatusCode::FAILED_PRECONDITION,
            "0000:02:00.1 in the same IOMMU group is on driver nvme"}}) {
    const grpc::Status status = Allocate(c.devices);
    EXPECT_EQ(status.error_code(), c.code) << c.message;
    EXPECT_THAT(status.error_message(), HasSubstr(c.message));
  }
  v1beta1::AllocateRequest two;
  two.add_container_requests()->add_devices_ids("0000:01:00.0");
  two.add_container_requests()->add_devices_ids("0000:01:00.0");
  v1beta1::AllocateResponse answer;
  EXPECT_EQ(kubelet_.Allocate(kResource, two, &answer).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(kubelet_.Allocate(kResource, {}, &answer).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(kubelet_.PreStartContainer(kResource, {}).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(kubelet_.PreStartContainer(kResource, {"0000:09:00.0"}).error_code(),
            grpc::StatusCode::NOT_FOUND);

  EXPECT_EQ(WindowOf(11), "0x08000000 0x00100000");
  EXPECT_TRUE(std::filesystem::is_empty(path("state")));
  EXPECT_TRUE(Allocate({"0000:01:00.0"}).ok());
}

TEST_F(AllocationTest, SeesAChangeAndTellsTheKubelet) {
  AddDevice("0000:01:00.0", 11);
  StartAndList(1);
  sysfs_.AddPciFunction({.address = "0000:01:00.1", .group = 11, .driver = "nvme"});
  const grpc::Status status = Allocate({"0000:01:00.0"});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), AllOf(HasSubstr("0000:01:00.1"), HasSubstr("nvme")));
  EXPECT_EQ(kubelet_.WaitFor(kResource, "an unhealthy device",
                             [](const auto& resource) {
                               const auto found = resource.devices.find("0000:01:00.0");
                               return found != resource.devices.end() &&
                                      found->second.health() == "Unhealthy";
                             }),
            absl::OkStatus());
}

TEST_F(AllocationTest, ChecksTheGroupBeforeEachStart) {
  AddDevice("0000:01:00.0", 11);
  StartAndList(1);
  ASSERT_TRUE(Allocate({"0000:01:00.0"}).ok());
  sysfs_.SetMsiWindow(11, "0x08000000 0x00100000");
  EXPECT_TRUE(kubelet_.PreStartContainer(kResource, {"0000:01:00.0"}).ok());
  EXPECT_EQ(WindowOf(11), "0x09100000 0x00100000");
  sysfs_.AddPciFunction({.address = "0000:01:00.1", .group = 11});
  const grpc::Status grown = kubelet_.PreStartContainer(kResource, {"0000:01:00.0"});
  EXPECT_EQ(grown.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(grown.error_message(), HasSubstr("has changed"));
}

TEST_F(AllocationTest, RunsOutOfWindows) {
  WriteConfig(R"(
window: {pool: {start: 0x09100000, end: 0x09200000}}
resources:
  - name: vendor.example/nvme
    selectors:
      - {vendor: "1b36"}
)");
  AddDevice("0000:01:00.0", 11);
  AddDevice("0000:02:00.0", 12);
  StartAndList(2);
  ASSERT_TRUE(Allocate({"0000:01:00.0"}).ok());
  const grpc::Status status = Allocate({"0000:02:00.0"});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(),
              AllOf(HasSubstr("all 1 windows"), HasSubstr("[0x09100000, 0x09200000)"),
                    HasSubstr("0000:01:00.0")));
  EXPECT_TRUE(kubelet_.PreStartContainer(kResource, {"0000:01:00.0"}).ok());
}

constexpr char kWithIommufd[] = R"(
resources:
  - name: vendor.example/nvme
    selectors:
      - {vendor: "1b36"}
    iommufd: true
)";

TEST_F(AllocationTest, HandsOverIommufdWhereTheHostHasIt) {
  WriteConfig(kWithIommufd);
  sysfs_.AddFile("devices/virtual/misc/iommu/dev", "10:125\n");
  sysfs_.AddLink("class/misc/iommu", "../../devices/virtual/misc/iommu");
  AddDevice("0000:01:00.0", 11);
  StartAndList(1);
  v1beta1::ContainerAllocateResponse response;
  ASSERT_TRUE(Allocate({"0000:01:00.0"}, &response).ok());
  EXPECT_THAT(Nodes(response), ElementsAre("/dev/vfio/vfio", "/dev/iommu", "/dev/vfio/11"));
}

TEST_F(AllocationTest, HandsNodesOverByCdi) {
  WriteConfig(R"(
resources:
  - name: vendor.example/nvme
    selectors:
      - {vendor: "1b36"}
    cdi: true
)");
  AddDevice("0000:01:00.0", 11);
  AddDevice("0000:02:00.0", 12);
  StartAndList(2);
  v1beta1::ContainerAllocateResponse response;
  ASSERT_TRUE(Allocate({"0000:02:00.0", "0000:01:00.0"}, &response).ok());
  EXPECT_THAT(Nodes(response), IsEmpty());
  ASSERT_EQ(response.cdi_devices_size(), 1);
  EXPECT_EQ(response.cdi_devices(0).name(), "vendor.example/nvme=0000:01:00.0");
  const std::string file = path("cdi/vfio-doorbell_0000:01:00.0.json");
  const auto json = nlohmann::json::parse(ReadAll(file));
  EXPECT_EQ(json["kind"], "vendor.example/nvme");
  EXPECT_EQ(json["devices"][0]["name"], "0000:01:00.0");
  const auto nodes = json["devices"][0]["containerEdits"]["deviceNodes"];
  ASSERT_EQ(nodes.size(), 3U);
  EXPECT_EQ(nodes[2]["path"], "/dev/vfio/12");
  // As after a reboot, which empties /var/run.
  std::filesystem::remove(file);
  ASSERT_TRUE(kubelet_.PreStartContainer(kResource, {"0000:01:00.0", "0000:02:00.0"}).ok());
  EXPECT_TRUE(std::filesystem::exists(file));
}

TEST_F(AllocationTest, SaysThatTheHostHasNoIommufd) {
  WriteConfig(kWithIommufd);
  AddDevice("0000:01:00.0", 11);
  StartAndList(1);
  EXPECT_EQ(kubelet_.Get(kResource).devices.at("0000:01:00.0").health(), "Unhealthy");
  const grpc::Status status = Allocate({"0000:01:00.0"});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("this host has no /dev/iommu"));
}

TEST_F(AllocationTest, NamesTheFileThatCannotBeWritten) {
  AddDevice("0000:01:00.0", 11);
  AddDevice("0000:02:00.0", 12);
  StartAndList(2);
  sysfs_.SetMsiWindow(12, "none");  // and changes its mind while it is asked
  const grpc::Status none = Allocate({"0000:02:00.0"});
  EXPECT_TRUE(none.ok()) << "a group without a software window is handed over as it is";
  // At once: a scan that found none would offer the group all the same, to be observed.
  const std::string folder = WindowFile(11) + ".folder";
  std::filesystem::create_directory(folder);
  ASSERT_EQ(
      ::renameat2(AT_FDCWD, folder.c_str(), AT_FDCWD, WindowFile(11).c_str(), RENAME_EXCHANGE), 0);
  const grpc::Status status = Allocate({"0000:01:00.0"});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("msi_window"));
}

TEST_F(AllocationTest, ObservesOnAKernelWithoutTheKnobAndSaysSoOnce) {
  sysfs_.AddPciFunction({.address = "0000:01:00.0", .group = 11});
  AddNode("11");
  sysfs_.AddPciFunction({.address = "0000:02:00.0", .group = 12});
  AddNode("12");
  StartAndList(2);
  v1beta1::ContainerAllocateResponse response;
  ASSERT_TRUE(Allocate({"0000:01:00.0"}, &response).ok());
  ASSERT_TRUE(Allocate({"0000:02:00.0"}).ok());
  EXPECT_EQ(response.envs().at("VFIO_DOORBELL_MODE_VENDOR_EXAMPLE_NVME"), "observe");
  const auto json = nlohmann::json::parse(ReadAll(path("state/0000:01:00.0/settings.json")));
  EXPECT_EQ(json["mode"], "observe");
  EXPECT_EQ(json["window"]["base"], "0x08000000");
  EXPECT_EQ(json["modeReason"], "this kernel has no msi_window attribute");
  EXPECT_TRUE(kubelet_.PreStartContainer(kResource, {"0000:01:00.0"}).ok());
  EXPECT_EQ(daemon_->CountInLog("observe mode"), 1) << daemon_->log();
  EXPECT_FALSE(std::filesystem::exists(WindowFile(11)));
}

TEST_F(AllocationTest, ObservesIfConfigured) {
  WriteConfig(R"(
mode: observe
resources:
  - name: vendor.example/nvme
    selectors:
      - {vendor: "1b36"}
)");
  AddDevice("0000:01:00.0", 11);
  StartAndList(1);
  v1beta1::ContainerAllocateResponse response;
  ASSERT_TRUE(Allocate({"0000:01:00.0"}, &response).ok());
  EXPECT_EQ(response.envs().at("VFIO_DOORBELL_MODE_VENDOR_EXAMPLE_NVME"), "observe");
  EXPECT_EQ(WindowOf(11), "0x08000000 0x00100000");
  EXPECT_EQ(daemon_->CountInLog("observe mode"), 1) << daemon_->log();
}

TEST_F(AllocationTest, AdvisesOneNode) {
  for (int i = 0; i < 4; ++i) {
    sysfs_.AddPciFunction({.address = "0000:0" + std::to_string(i) + ":00.0",
                           .group = static_cast<std::uint32_t>(10 + i),
                           .numa_node = i % 2});
  }
  StartAndList(4);
  v1beta1::PreferredAllocationRequest request;
  auto& container = *request.add_container_requests();
  for (const char* id : {"0000:03:00.0", "0000:02:00.0", "0000:01:00.0", "0000:00:00.0"}) {
    container.add_available_deviceids(id);
  }
  container.add_must_include_deviceids("0000:03:00.0");
  container.set_allocation_size(2);
  v1beta1::PreferredAllocationResponse response;
  ASSERT_TRUE(kubelet_.GetPreferredAllocation(kResource, request, &response).ok());
  EXPECT_THAT(response.container_responses(0).deviceids(),
              ElementsAre("0000:03:00.0", "0000:01:00.0"));
}

TEST_F(AllocationTest, KeepsTwoResourcesApart) {
  WriteConfig(R"(
resources:
  - name: vendor.example/nvme
    selectors:
      - {vendor: "1b36"}
  - name: vendor.example/nic
    selectors:
      - {vendor: "8086"}
)");
  AddDevice("0000:01:00.0", 11);
  sysfs_.AddPciFunction({.address = "0000:02:00.0", .group = 12, .vendor = 0x8086});
  AddNode("12");
  sysfs_.SetMsiWindow(12, "0x08000000 0x00100000");
  StartAndList(1);
  ASSERT_EQ(kubelet_.WaitForDevices("vendor.example/nic", 1), absl::OkStatus());
  EXPECT_NE(kubelet_.Get(kResource).endpoint, kubelet_.Get("vendor.example/nic").endpoint);
  v1beta1::ContainerAllocateResponse nvme;
  v1beta1::ContainerAllocateResponse nic;
  ASSERT_TRUE(Allocate({"0000:01:00.0"}, &nvme).ok());
  ASSERT_TRUE(kubelet_.Allocate("vendor.example/nic", {"0000:02:00.0"}, &nic).ok());
  EXPECT_EQ(Allocate({"0000:02:00.0"}).error_code(), grpc::StatusCode::NOT_FOUND);
  // In one container, nothing of the one may hide anything of the other.
  for (const auto& [name, value] : nvme.envs()) EXPECT_FALSE(nic.envs().contains(name)) << name;
  EXPECT_NE(nvme.mounts(0).container_path(), nic.mounts(0).container_path());
  EXPECT_NE(WindowOf(11), WindowOf(12));
}

}  // namespace
}  // namespace dp::integration
