// SPDX-License-Identifier: Apache-2.0
#include "plugin/checker/sysfs_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/fakes/sysfs_tree.h"

namespace dp::checker {
namespace {

using ::testing::HasSubstr;

constexpr core::PciAddress kAddress{.domain = 0, .bus = 1, .slot = 0, .function = 0};

class SysfsGroupsTest : public ::testing::Test {
 protected:
  absl::StatusOr<core::Group> Read(core::PciAddress address = kAddress) const {
    const auto root = sysfs::SysfsRoot::Open(tree_.path());
    EXPECT_TRUE(root.ok()) << root.status();
    return ReadGroupOf(*root, address);
  }
  std::string Message(core::PciAddress address = kAddress) const {
    const auto group = Read(address);
    EXPECT_TRUE(absl::IsFailedPrecondition(group.status())) << group.status();
    return std::string(group.status().message());
  }

  fakes::SysfsTree tree_;
};

TEST_F(SysfsGroupsTest, ReadsTheWindowInForce) {
  tree_.AddPciFunction({.address = "0000:01:00.0", .group = 11});
  auto group = Read();
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ(group->number, 11U);
  EXPECT_EQ(group->window, core::kFixedWindow);
  tree_.SetMsiWindow(11, "0x09100000 0x00100000");
  group = Read();
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ(group->window, (core::Window{.base = 0x09100000, .size = 0x100000}));
}

TEST_F(SysfsGroupsTest, SaysWhatIsMissing) {
  tree_.AddPciFunction({.address = "0000:02:00.0", .group = 12});
  EXPECT_EQ(Message(), tree_.path() +
                           "/bus/pci/devices/0000:01:00.0 does not exist: this host "
                           "has no such function");
  const std::string device = fakes::SysfsTree::PciDirectory("0000:02:00.0");
  const core::PciAddress second{.domain = 0, .bus = 2, .slot = 0, .function = 0};
  tree_.Remove(device + "/iommu_group");
  EXPECT_THAT(Message(second), HasSubstr("the function is in no IOMMU group"));
  tree_.AddLink(device + "/iommu_group", "../../kernel/iommu_groups/none");
  EXPECT_THAT(Message(second), HasSubstr("does not lead to an IOMMU group"));
  tree_.AddLink(device + "/iommu_group", "../../kernel/iommu_groups/13");
  EXPECT_THAT(Message(second), HasSubstr("kernel/iommu_groups/13 does not exist"));
}

TEST_F(SysfsGroupsTest, RefusesAGroupThatCannotBeRead) {
  tree_.AddPciFunction({.address = "0000:01:00.0", .group = 11});
  tree_.SetMsiWindow(11, "garbage");
  EXPECT_THAT(Message(), HasSubstr("iommu_groups/11/msi_window"));
}

TEST_F(SysfsGroupsTest, RefusesAGroupWithoutTheFunction) {
  tree_.AddPciFunction({.address = "0000:01:00.0", .group = 11});
  tree_.AddPciFunction({.address = "0000:02:00.0", .group = 12});
  tree_.AddLink(fakes::SysfsTree::PciDirectory("0000:01:00.0") + "/iommu_group",
                "../../kernel/iommu_groups/12");
  EXPECT_THAT(Message(), HasSubstr("is not a member of its IOMMU group 12"));
}

}  // namespace
}  // namespace dp::checker
