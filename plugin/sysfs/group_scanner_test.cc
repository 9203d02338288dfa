// SPDX-License-Identifier: Apache-2.0
#include "plugin/sysfs/group_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/fakes/sysfs_tree.h"

namespace dp::sysfs {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// What was left out, each as one sentence.
std::vector<std::string> SkippedOf(const core::Inventory& inventory) {
  std::vector<std::string> sentences;
  for (const core::Skipped& skipped : inventory.skipped) {
    sentences.push_back(skipped.path + " " + skipped.reason);
  }
  return sentences;
}

class GroupScannerTest : public testing::Test {
 protected:
  GroupScannerTest() : root_(*SysfsRoot::Open(tree_.path())), scanner_(root_) {}

  core::Inventory Scan() {
    auto inventory = scanner_.Scan();
    EXPECT_TRUE(inventory.ok()) << inventory.status();
    return inventory.ok() ? *std::move(inventory) : core::Inventory{};
  }
  [[nodiscard]] std::string Path(const std::string& relative) const {
    return tree_.path() + "/" + relative;
  }

  fakes::SysfsTree tree_;
  SysfsRoot root_;
  GroupScanner scanner_;
};

TEST_F(GroupScannerTest, ReadsAFunctionWithAllThatIsKnownOfIt) {
  tree_.AddPciFunction({.address = "0001:02:03.4",
                        .group = 12,
                        .driver = "vfio-pci",
                        .vendor = 0x1b36,
                        .device = 0x0010,
                        .subsystem_vendor = 0x1af4,
                        .subsystem_device = 0x1100,
                        .class_code = 0x010802,
                        .numa_node = 1,
                        .cdev = "vfio3"});
  const core::Inventory inventory = Scan();
  EXPECT_THAT(inventory.skipped, IsEmpty());
  ASSERT_THAT(inventory.groups, SizeIs(1));
  const core::Group& group = inventory.groups.front();
  EXPECT_EQ(group.number, 12u);
  ASSERT_THAT(group.functions, SizeIs(1));
  const core::Function& function = group.functions.front();
  EXPECT_EQ(function.name, "0001:02:03.4");
  EXPECT_EQ(function.driver, "vfio-pci");
  EXPECT_EQ(function.cdev, "vfio3");
  EXPECT_EQ(function.numa_node, 1);
  ASSERT_TRUE(function.pci.has_value());
  EXPECT_EQ(function.pci->address,
            (core::PciAddress{.domain = 1, .bus = 2, .slot = 3, .function = 4}));
  EXPECT_EQ(function.pci->vendor, 0x1b36);
  EXPECT_EQ(function.pci->device, 0x0010);
  EXPECT_EQ(function.pci->subsystem_vendor, 0x1af4);
  EXPECT_EQ(function.pci->subsystem_device, 0x1100);
  EXPECT_EQ(function.pci->class_code, 0x010802u);
}

TEST_F(GroupScannerTest, WhatIsAbsentIsEmpty) {
  tree_.AddPciFunction({.address = "0000:00:01.0", .driver = "", .numa_node = -1});
  const core::Inventory inventory = Scan();
  ASSERT_THAT(inventory.groups, SizeIs(1));
  const core::Function& function = inventory.groups.front().functions.front();
  EXPECT_EQ(function.driver, "");
  EXPECT_EQ(function.cdev, "");
  EXPECT_EQ(function.numa_node, std::nullopt);
}

TEST_F(GroupScannerTest, KernelWithoutNumaHasNoNode) {
  tree_.AddPciFunction({.address = "0000:00:01.0"});
  tree_.Remove("devices/pci0000:00/0000:00:01.0/numa_node");
  EXPECT_EQ(Scan().groups.front().functions.front().numa_node, std::nullopt);
}

TEST_F(GroupScannerTest, GroupsAreInOrderOfNumbersAndMembersOfNames) {
  tree_.AddPciFunction({.address = "0000:05:00.1", .group = 10});
  tree_.AddPciFunction({.address = "0000:05:00.0", .group = 10});
  tree_.AddPlatformDevice("10000.ethernet", 10, "xgmac");
  tree_.AddPciFunction({.address = "0000:01:00.0", .group = 9});
  const core::Inventory inventory = Scan();
  ASSERT_THAT(inventory.groups,
              ElementsAre(Field(&core::Group::number, 9), Field(&core::Group::number, 10)));
  const auto& members = inventory.groups[1].functions;
  ASSERT_THAT(members, ElementsAre(Field(&core::Function::name, "0000:05:00.0"),
                                   Field(&core::Function::name, "0000:05:00.1"),
                                   Field(&core::Function::name, "10000.ethernet")));
  EXPECT_FALSE(members[2].pci.has_value());
  EXPECT_EQ(members[2].driver, "xgmac");
}

TEST_F(GroupScannerTest, WithoutTheKnobTheFixedWindowIsInForce) {
  tree_.AddPciFunction({.address = "0000:00:01.0"});
  const core::Inventory inventory = Scan();
  const core::Group& group = inventory.groups.front();
  EXPECT_EQ(group.knob, core::Knob::kAbsent);
  EXPECT_EQ(group.window, core::kFixedWindow);
  EXPECT_THAT(group.reserved_regions,
              ElementsAre(Field(&core::ReservedRegion::type, core::RegionType::kSoftwareMsi)));
}

TEST_F(GroupScannerTest, TheKnobTellsTheWindowInForce) {
  tree_.AddPciFunction({.address = "0000:00:01.0"});
  tree_.SetMsiWindow(0, "0x09000000 0x00200000");
  tree_.AddFile(
      "kernel/iommu_groups/0/reserved_regions",
      "0x0000000008000000 0x00000000080fffff msi\n0x0000000009000000 0x00000000091fffff msi\n");
  const core::Inventory inventory = Scan();
  const core::Group& group = inventory.groups.front();
  EXPECT_EQ(group.knob, core::Knob::kPresent);
  EXPECT_EQ(group.window, (core::Window{.base = 0x9000000, .size = 0x200000}));
  EXPECT_THAT(group.reserved_regions,
              ElementsAre(Field(&core::ReservedRegion::type, core::RegionType::kHardwareMsi),
                          Field(&core::ReservedRegion::type, core::RegionType::kSoftwareMsi)));
}

TEST_F(GroupScannerTest, HardwareMsiRegionIsNoWindow) {
  tree_.AddPciFunction({.address = "0000:00:01.0"});
  tree_.AddFile("kernel/iommu_groups/0/reserved_regions",
                "0x00000000fee00000 0x00000000feefffff msi\n");
  {
    const core::Inventory inventory = Scan();
    EXPECT_EQ(inventory.groups.front().knob, core::Knob::kAbsent);
    EXPECT_EQ(inventory.groups.front().window, std::nullopt);
  }
  tree_.SetMsiWindow(0, "none");
  const core::Inventory inventory = Scan();
  EXPECT_EQ(inventory.groups.front().knob, core::Knob::kNone);
  EXPECT_EQ(inventory.groups.front().window, std::nullopt);
  EXPECT_THAT(inventory.groups.front().reserved_regions,
              ElementsAre(Field(&core::ReservedRegion::type, core::RegionType::kHardwareMsi)));
}

TEST_F(GroupScannerTest, ScanSeesAChange) {
  tree_.AddPciFunction({.address = "0000:00:01.0", .driver = "nvme"});
  EXPECT_EQ(Scan().groups.front().functions.front().driver, "nvme");
  tree_.AddPciFunction({.address = "0000:00:01.0", .driver = "vfio-pci"});
  EXPECT_EQ(Scan().groups.front().functions.front().driver, "vfio-pci");
}

TEST_F(GroupScannerTest, HostWithoutGroupsIsAFailedPrecondition) {
  const auto missing = scanner_.Scan();
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(missing.status().message()),
            Path("kernel/iommu_groups") +
                " does not exist: sysfs is not mounted there, or the kernel has no IOMMU support");
  tree_.AddDirectory("kernel/iommu_groups");
  const auto empty = scanner_.Scan();
  EXPECT_EQ(empty.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(
      std::string(empty.status().message()),
      Path("kernel/iommu_groups") + " is empty: the host has no IOMMU, or it is switched off");
}

TEST(SysfsRootTest, MissingRootIsNamed) {
  const auto root = SysfsRoot::Open("/nowhere/at/all");
  EXPECT_EQ(root.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(root.status().message()),
            "cannot open /nowhere/at/all: No such file or directory");
}

TEST_F(GroupScannerTest, ScanGroupReadsOne) {
  tree_.AddPciFunction({.address = "0000:00:01.0", .group = 1});
  tree_.AddPciFunction({.address = "0000:00:02.0", .group = 2});
  const auto group = scanner_.ScanGroup(2);
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ(group->number, 2u);
  EXPECT_THAT(group->functions, ElementsAre(Field(&core::Function::name, "0000:00:02.0")));
}

TEST_F(GroupScannerTest, ScanGroupTellsAMissingGroupFromABrokenOne) {
  tree_.AddPciFunction({.address = "0000:00:01.0", .group = 1});
  const auto missing = scanner_.ScanGroup(2);
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(missing.status().message()),
            Path("kernel/iommu_groups/2") + " does not exist");
  tree_.AddFile("devices/pci0000:00/0000:00:01.0/uevent", "garbage\n");
  const auto broken = scanner_.ScanGroup(1);
  EXPECT_EQ(broken.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(broken.status().message()),
            Path("kernel/iommu_groups/1/devices/0000:00:01.0/uevent") +
                " holds \"garbage\", not KEY=VALUE");
}

// Large enough for several threads.
TEST_F(GroupScannerTest, LargeHostIsReadWholeAndInOrder) {
  constexpr std::uint32_t kGroups = 1200;
  constexpr std::uint32_t kSpoilt = 600;
  tree_.AddManyGroups(kGroups);
  tree_.AddFile(fakes::SysfsTree::GroupDirectory(kSpoilt) + "/reserved_regions", "garbage\n");
  const core::Inventory inventory = Scan();
  EXPECT_THAT(SkippedOf(inventory), ElementsAre("kernel/iommu_groups/600/reserved_regions holds "
                                                "\"garbage\", not \"0xFIRST 0xLAST TYPE\""));
  ASSERT_THAT(inventory.groups, SizeIs(kGroups - 1));
  for (std::uint32_t i = 0; i < kGroups - 1; ++i) {
    const std::uint32_t number = i < kSpoilt ? i : i + 1;
    const core::Group& group = inventory.groups[i];
    ASSERT_EQ(group.number, number);
    ASSERT_THAT(group.functions, SizeIs(1));
    ASSERT_EQ(group.functions.front().cdev, "vfio" + std::to_string(number));
    ASSERT_EQ(group.functions.front().numa_node, number < kGroups / 2 ? 0 : 1);
  }
}

// Where the kernel makes groups late, a function has none before its first driver.
TEST_F(GroupScannerTest, ReadsFunctionsWithoutAGroup) {
  tree_.AddPciFunction({.address = "0000:01:00.0", .group = 1});
  tree_.AddPciFunction({.address = "0000:02:00.0", .group = 2, .driver = "", .vendor = 0x1234});
  tree_.Remove(fakes::SysfsTree::GroupDirectory(2));
  tree_.Remove(fakes::SysfsTree::PciDirectory("0000:02:00.0") + "/iommu_group");
  tree_.AddFile("bus/pci/devices/0000:03:00.0/uevent", "nonsense");
  const std::vector<core::Function> functions = scanner_.ScanUngrouped();
  ASSERT_THAT(functions, SizeIs(1));
  EXPECT_EQ(functions[0].name, "0000:02:00.0");
  EXPECT_EQ(functions[0].driver, "");
  EXPECT_EQ(functions[0].pci->vendor, 0x1234);
}

// A hostile tree: group 1 has two functions, of which one is spoilt; group 2 is sound and must be
// read all the same. The sound function of group 1 must not be offered on its own.
class HostileSysfsTest : public GroupScannerTest {
 protected:
  static constexpr const char* kDevice = "devices/pci0000:00/0000:00:01.1";
  static constexpr const char* kInGroup = "kernel/iommu_groups/1/devices/0000:00:01.1";

  HostileSysfsTest() {
    tree_.AddPciFunction({.address = "0000:00:01.0", .group = 1});
    tree_.AddPciFunction({.address = "0000:00:01.1", .group = 1});
    tree_.AddPciFunction({.address = "0000:00:02.0", .group = 2});
  }

  void ExpectSkipped(const std::string& path, const std::string& reason) {
    const core::Inventory inventory = Scan();
    EXPECT_THAT(inventory.groups, ElementsAre(Field(&core::Group::number, 2)));
    EXPECT_THAT(SkippedOf(inventory), ElementsAre(path + " " + reason));
  }
  [[nodiscard]] static std::string Device(const std::string& name) {
    return std::string(kDevice) + "/" + name;
  }
  [[nodiscard]] static std::string InGroup(const std::string& name) {
    return std::string(kInGroup) + "/" + name;
  }
};

TEST_F(HostileSysfsTest, IsSoundToBeginWith) { EXPECT_THAT(Scan().groups, SizeIs(2)); }

TEST_F(HostileSysfsTest, Garbage) {
  tree_.AddFile(Device("uevent"), "\x01\x02\xff\n");
  ExpectSkipped(InGroup("uevent"), "holds \"???\", not KEY=VALUE");
}

TEST_F(HostileSysfsTest, PciFunctionWithoutPciLines) {
  tree_.AddFile(Device("uevent"), "MODALIAS=x\n");
  ExpectSkipped(InGroup("uevent"), "has no lines PCI_CLASS, PCI_ID and PCI_SUBSYS_ID");
}

TEST_F(HostileSysfsTest, PciFunctionUnderAnotherName) {
  tree_.AddLink("kernel/iommu_groups/1/devices/alias",
                "../../../../devices/pci0000:00/0000:00:01.1");
  ExpectSkipped("kernel/iommu_groups/1/devices/alias/uevent",
                "is of a PCI function whose name is not a PCI address");
}

TEST_F(HostileSysfsTest, NoNewline) {
  tree_.AddFile(Device("numa_node"), "0");
  ExpectSkipped(InGroup("numa_node"), "does not end with a newline");
}

TEST_F(HostileSysfsTest, EmptyAttribute) {
  tree_.AddFile(Device("uevent"), "");
  ExpectSkipped(InGroup("uevent"), "is empty");
}

TEST_F(HostileSysfsTest, OneMebibyteOfText) {
  tree_.AddFile(Device("uevent"), std::string(1 << 20, 'x'));
  ExpectSkipped(InGroup("uevent"), "has more than 65536 bytes");
}

TEST_F(HostileSysfsTest, LongestAttributeIsNotTooLong) {
  tree_.AddFile(Device("numa_node"), std::string(65535, '0') + "\n");
  EXPECT_THAT(Scan().groups, SizeIs(2));
}

TEST_F(HostileSysfsTest, AttributeIsGone) {
  tree_.Remove(Device("uevent"));
  ExpectSkipped(InGroup("uevent"), "does not exist");
}

TEST_F(HostileSysfsTest, DeviceIsGone) {
  tree_.Remove(kDevice);
  ExpectSkipped(kInGroup, "does not exist");
}

TEST_F(HostileSysfsTest, DirectoryInPlaceOfAnAttribute) {
  tree_.Remove(Device("uevent"));
  tree_.AddDirectory(Device("uevent"));
  ExpectSkipped(InGroup("uevent"), "cannot be read: Is a directory");
}

TEST_F(HostileSysfsTest, FifoInPlaceOfAnAttribute) {
  tree_.AddFifo(Device("uevent"));
  ExpectSkipped(InGroup("uevent"), "is empty");
}

TEST_F(HostileSysfsTest, LinkInPlaceOfAnAttribute) {
  tree_.AddLink(Device("uevent"), "../0000:00:01.0/uevent");
  ExpectSkipped(InGroup("uevent"), "is a link where none is expected, or one of a loop");
}

TEST_F(HostileSysfsTest, LoopOfLinks) {
  tree_.AddLink(kInGroup, "0000:00:01.1");
  ExpectSkipped(kInGroup, "is a link where none is expected, or one of a loop");
}

TEST_F(HostileSysfsTest, LinkThatLeavesTheTree) {
  const fakes::SysfsTree outside;
  for (const std::string& target :
       {std::string("../../../../.."), std::string("/etc"), outside.path()}) {
    tree_.AddLink(kInGroup, target);
    ExpectSkipped(kInGroup, "leads out of sysfs");
  }
}

TEST_F(HostileSysfsTest, FileInPlaceOfADevice) {
  tree_.Remove(kInGroup);
  tree_.AddFile(kInGroup, "x");
  ExpectSkipped(kInGroup, "is not a directory");
}

TEST_F(HostileSysfsTest, StrangeCdev) {
  tree_.AddDirectory(Device("vfio-dev/vfio1"));
  tree_.AddDirectory(Device("vfio-dev/vfio2"));
  ExpectSkipped(InGroup("vfio-dev"), "has more than one entry");
  tree_.Remove(Device("vfio-dev"));
  tree_.AddDirectory(Device("vfio-dev/mem"));
  ExpectSkipped(InGroup("vfio-dev"), "has an entry that is not named vfioN");
}

TEST_F(HostileSysfsTest, EmptyCdevDirectoryIsNoCdev) {
  tree_.AddDirectory(Device("vfio-dev"));
  EXPECT_THAT(Scan().groups, SizeIs(2));
}

TEST_F(HostileSysfsTest, ReservedRegionsOfAGroup) {
  tree_.AddFile("kernel/iommu_groups/1/reserved_regions", "0x0 0x1\n");
  ExpectSkipped("kernel/iommu_groups/1/reserved_regions",
                "holds \"0x0 0x1\", not \"0xFIRST 0xLAST TYPE\"");
  tree_.Remove("kernel/iommu_groups/1/reserved_regions");
  ExpectSkipped("kernel/iommu_groups/1/reserved_regions", "does not exist");
}

TEST_F(HostileSysfsTest, MsiWindowOfAGroup) {
  tree_.SetMsiWindow(1, "default");
  ExpectSkipped("kernel/iommu_groups/1/msi_window",
                "holds \"default\", not \"0xBASE 0xSIZE\" or \"none\"");
}

TEST_F(HostileSysfsTest, GroupWithoutDevicesFolder) {
  tree_.Remove("kernel/iommu_groups/1/devices");
  ExpectSkipped("kernel/iommu_groups/1/devices", "does not exist");
}

TEST_F(HostileSysfsTest, GroupThatIsALink) {
  tree_.Remove("kernel/iommu_groups/1");
  tree_.AddLink("kernel/iommu_groups/1", "2");
  ExpectSkipped("kernel/iommu_groups/1/msi_window",
                "is a link where none is expected, or one of a loop");
}

TEST_F(HostileSysfsTest, GroupThatIsNoNumber) {
  for (const char* name : {"-1", "x", "4294967296"})
    tree_.AddDirectory(std::string("kernel/iommu_groups/") + name);
  const core::Inventory inventory = Scan();
  EXPECT_THAT(inventory.groups, SizeIs(2));
  EXPECT_THAT(SkippedOf(inventory), testing::UnorderedElementsAre(
                                        "kernel/iommu_groups/-1 is not named by a number",
                                        "kernel/iommu_groups/x is not named by a number",
                                        "kernel/iommu_groups/4294967296 is not named by a number"));
}

}  // namespace
}  // namespace dp::sysfs
