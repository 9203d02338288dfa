// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/sysfs/group_scanner.h"
#include "tests/fakes/sysfs_tree.h"

// Whole machines (tests/testdata/README.md): what the scanner makes of each is compared with a text
// that people have read.
namespace dp::sysfs {
namespace {

std::string_view NameOf(core::RegionType type) {
  switch (type) {
    case core::RegionType::kDirect:
      return "direct";
    case core::RegionType::kDirectRelaxable:
      return "direct-relaxable";
    case core::RegionType::kReserved:
      return "reserved";
    case core::RegionType::kHardwareMsi:
      return "hardware-msi";
    case core::RegionType::kSoftwareMsi:
      return "software-msi";
  }
  return "?";
}

std::string_view NameOf(core::Knob knob) {
  switch (knob) {
    case core::Knob::kAbsent:
      return "absent";
    case core::Knob::kNone:
      return "none";
    case core::Knob::kPresent:
      return "present";
  }
  return "?";
}

std::string OrDash(const std::string& text) { return text.empty() ? "-" : text; }

std::string Describe(const core::Function& function) {
  std::string text = fmt::format("  {}", function.name);
  if (function.pci) {
    const core::PciIdentity& pci = *function.pci;
    text += fmt::format(" id {:04x}:{:04x} subsystem {:04x}:{:04x} class {:06x}", pci.vendor,
                        pci.device, pci.subsystem_vendor, pci.subsystem_device, pci.class_code);
  }
  return text + fmt::format(" driver {} cdev {} node {}{}\n", OrDash(function.driver),
                            OrDash(function.cdev),
                            function.numa_node ? std::to_string(*function.numa_node) : "-",
                            function.is_bridge() ? " bridge" : "");
}

std::string Describe(const core::Inventory& inventory) {
  std::string text;
  for (const core::Group& group : inventory.groups) {
    text += fmt::format("group {} knob {} window {}\n", group.number, NameOf(group.knob),
                        group.window ? core::FormatWindow(*group.window) : "-");
    for (const core::Function& function : group.functions) text += Describe(function);
    for (const core::ReservedRegion& region : group.reserved_regions) {
      text += fmt::format("  region {:#018x}-{:#018x} {}\n", region.first, region.last,
                          NameOf(region.type));
    }
  }
  for (const core::Skipped& skipped : inventory.skipped) {
    text += fmt::format("skipped: {} {}\n", skipped.path, skipped.reason);
  }
  return text;
}

std::string ScanAndDescribe(const fakes::SysfsTree& tree) {
  const auto root = SysfsRoot::Open(tree.path());
  if (!root.ok()) return root.status().ToString();
  const auto inventory = GroupScanner(*root).Scan();
  return inventory.ok() ? Describe(*inventory) : inventory.status().ToString();
}

std::string ReadAll(const std::string& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in.is_open()) << path << " is missing";
  return {std::istreambuf_iterator<char>(in), {}};
}

class ShapeTest : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(ShapeTest, IsReadAsTheGoldenFileSays) {
  fakes::SysfsTree tree;
  tree.AddArchive(GetParam().string());
  const std::string described = ScanAndDescribe(tree);
  const std::string golden = std::filesystem::path(GetParam()).replace_extension("golden").string();
  if (std::getenv("DP_UPDATE_GOLDEN") != nullptr) std::ofstream(golden) << described;
  EXPECT_EQ(described, ReadAll(golden));
}

// What scripts/capture-sysfs takes from a machine is enough to see the same machine again.
TEST_P(ShapeTest, SurvivesACapture) {
  fakes::SysfsTree tree;
  tree.AddArchive(GetParam().string());
  const std::string captured = tree.path() + "/captured.ttar";
  const std::string command =
      fmt::format("scripts/capture-sysfs --root {} > {}", tree.path(), captured);
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  fakes::SysfsTree again;
  again.AddArchive(captured);
  EXPECT_EQ(ScanAndDescribe(again), ScanAndDescribe(tree));
}

std::vector<std::filesystem::path> Archives() {
  std::vector<std::filesystem::path> archives;
  for (const auto& entry : std::filesystem::directory_iterator("tests/testdata/sysfs")) {
    if (entry.path().extension() == ".ttar") archives.push_back(entry.path());
  }
  std::sort(archives.begin(), archives.end());
  return archives;
}

INSTANTIATE_TEST_SUITE_P(EveryMachine, ShapeTest, testing::ValuesIn(Archives()),
                         [](const auto& test) {
                           std::string name = test.param.stem().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace dp::sysfs
