// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/grant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_host.h"

namespace dp::core {
namespace {

using ::dp::fakes::GroupOf;
using ::dp::fakes::NvmeFunction;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(GrantTest, SpellsVariablesAsKubeVirtDoes) {
  EXPECT_EQ(VariableSuffix("vendor.example/nvme"), "VENDOR_EXAMPLE_NVME");
  // A hyphen stays: KubeVirt looks for exactly this.
  EXPECT_EQ(VariableSuffix("vendor.example/msi-vfio"), "VENDOR_EXAMPLE_MSI-VFIO");
  EXPECT_EQ(VariableSuffix("a.b.c/d.e-f_g"), "A_B_C_D_E-F_G");
}

class MakeGrantTest : public ::testing::Test {
 protected:
  MakeGrantTest() {
    Function with_cdev = NvmeFunction("0000:01:00.0");
    with_cdev.cdev = "vfio4";
    Function without_node = NvmeFunction("0000:01:00.1");
    without_node.cdev = "vfio5";
    targets_.push_back({.offer = {.id = "0000:01:00.0",
                                  .function = "0000:01:00.1",
                                  .group = 7,
                                  .numa_node = {},
                                  .unhealthy_reason = {}},
                        .group = GroupOf(7, {with_cdev, without_node})});
    targets_.push_back({.offer = {.id = "0000:02:00.0",
                                  .function = "0000:02:00.0",
                                  .group = 9,
                                  .numa_node = {},
                                  .unhealthy_reason = {}},
                        .group = GroupOf(9, {NvmeFunction("0000:02:00.0")})});
    settings_.resource = "vendor.example/nvme";
  }

  std::vector<std::string> Nodes(bool iommufd) {
    return DeviceNodes(targets_, iommufd,
                       [](const std::string& node) { return node == "vfio/devices/vfio4"; });
  }
  Grant Make() { return MakeGrant(targets_, settings_, "/state/0000:01:00.0"); }

  std::vector<Target> targets_;
  Settings settings_;
};

TEST_F(MakeGrantTest, HandsOverNodesVariablesAndSettings) {
  settings_.window = Window{.base = 0x09000000, .size = 0x100000};
  settings_.device_nodes = {"/dev/vfio/vfio", "/dev/vfio/7"};
  const Grant grant = Make();
  EXPECT_EQ(grant.device_nodes, settings_.device_nodes);
  EXPECT_THAT(grant.cdi_devices, IsEmpty());
  EXPECT_THAT(grant.environment,
              ElementsAre(Pair("PCI_RESOURCE_VENDOR_EXAMPLE_NVME", "0000:01:00.1,0000:02:00.0"),
                          Pair("VFIO_DOORBELL_MODE_VENDOR_EXAMPLE_NVME", "enforce"),
                          Pair("VFIO_DOORBELL_SETTINGS_VENDOR_EXAMPLE_NVME",
                               "/run/vfio-doorbell/VENDOR_EXAMPLE_NVME/settings.json")));
  EXPECT_EQ(grant.settings.container_path, "/run/vfio-doorbell/VENDOR_EXAMPLE_NVME");
  EXPECT_EQ(grant.settings.host_path, "/state/0000:01:00.0");
}

TEST_F(MakeGrantTest, NodesAreThoseThatTheHostHas) {
  EXPECT_THAT(Nodes(false), ElementsAre("/dev/vfio/vfio", "/dev/vfio/7", "/dev/vfio/devices/vfio4",
                                        "/dev/vfio/9"));
  EXPECT_THAT(Nodes(true), ElementsAre("/dev/vfio/vfio", "/dev/iommu", "/dev/vfio/7",
                                       "/dev/vfio/devices/vfio4", "/dev/vfio/9"));
}

TEST_F(MakeGrantTest, NamesACdiDeviceInPlaceOfNodes) {
  settings_.device_nodes = {"/dev/vfio/vfio", "/dev/vfio/7"};
  settings_.cdi = true;
  const Grant grant = Make();
  EXPECT_THAT(grant.device_nodes, IsEmpty());
  EXPECT_THAT(grant.cdi_devices, ElementsAre("vendor.example/nvme=0000:01:00.0"));
}

TEST_F(MakeGrantTest, TellsTheMode) {
  settings_.mode = Mode::kObserve;
  EXPECT_THAT(Make().environment,
              ElementsAre(Pair("PCI_RESOURCE_VENDOR_EXAMPLE_NVME", "0000:01:00.1,0000:02:00.0"),
                          Pair("VFIO_DOORBELL_MODE_VENDOR_EXAMPLE_NVME", "observe"),
                          Pair("VFIO_DOORBELL_SETTINGS_VENDOR_EXAMPLE_NVME",
                               "/run/vfio-doorbell/VENDOR_EXAMPLE_NVME/settings.json")));
}

}  // namespace
}  // namespace dp::core
