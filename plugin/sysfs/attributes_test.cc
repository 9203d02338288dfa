// SPDX-License-Identifier: Apache-2.0
#include "plugin/sysfs/attributes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dp::sysfs {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

template <typename T>
std::string ReasonOf(const absl::StatusOr<T>& result) {
  EXPECT_FALSE(result.ok()) << "was accepted";
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(result.status().message());
}

TEST(ParseUeventTest, ReadsAPciFunction) {
  const auto uevent = ParseUevent(
      "DRIVER=vfio-pci\nPCI_CLASS=10802\nPCI_ID=1B36:0010\nPCI_SUBSYS_ID=1AF4:1100\nPCI_SLOT_NAME="
      "0000:00:03.0\n"
      "MODALIAS=pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02\n");
  ASSERT_TRUE(uevent.ok()) << uevent.status();
  EXPECT_EQ(uevent->driver, "vfio-pci");
  ASSERT_TRUE(uevent->pci.has_value());
  EXPECT_EQ(uevent->pci->vendor, 0x1b36);
  EXPECT_EQ(uevent->pci->device, 0x0010);
  EXPECT_EQ(uevent->pci->subsystem_vendor, 0x1af4);
  EXPECT_EQ(uevent->pci->subsystem_device, 0x1100);
  EXPECT_EQ(uevent->pci->class_code, 0x010802u);
}

TEST(ParseUeventTest, ReadsAPlatformDevice) {
  const auto uevent =
      ParseUevent("DRIVER=xgmac\nOF_NAME=ethernet\nMODALIAS=of:NethernetT(null)Camd,xgbe\n");
  ASSERT_TRUE(uevent.ok()) << uevent.status();
  EXPECT_EQ(uevent->driver, "xgmac");
  EXPECT_FALSE(uevent->pci.has_value());
}

TEST(ParseUeventTest, NoDriverIsNoDriver) {
  const auto uevent = ParseUevent("MODALIAS=platform:x\n");
  ASSERT_TRUE(uevent.ok()) << uevent.status();
  EXPECT_EQ(uevent->driver, "");
}

TEST(ParseUeventTest, ShortClassCodeHasLeadingZeros) {
  const auto uevent = ParseUevent("PCI_CLASS=0000\nPCI_ID=FFFF:0000\nPCI_SUBSYS_ID=0000:FFFF\n");
  ASSERT_TRUE(uevent.ok()) << uevent.status();
  EXPECT_EQ(uevent->pci->class_code, 0u);
}

TEST(ParseUeventTest, RefusesGarbageAndSaysWhat) {
  EXPECT_EQ(ReasonOf(ParseUevent("hello\n")), "holds \"hello\", not KEY=VALUE");
  EXPECT_EQ(ReasonOf(ParseUevent("DRIVER=vfio-pci")), "does not end with a newline");
  EXPECT_EQ(ReasonOf(ParseUevent("DRIVER=\n")), "holds \"DRIVER=\", not DRIVER=NAME");
  EXPECT_EQ(ReasonOf(ParseUevent("PCI_CLASS=1000000\n")),
            "holds \"PCI_CLASS=1000000\", not PCI_CLASS=CCSSPP");
  EXPECT_EQ(ReasonOf(ParseUevent("PCI_ID=1B36\n")), "holds \"PCI_ID=1B36\", not PCI_ID=VVVV:DDDD");
  EXPECT_EQ(ReasonOf(ParseUevent("PCI_ID=1B36:00100\n")),
            "holds \"PCI_ID=1B36:00100\", not PCI_ID=VVVV:DDDD");
  EXPECT_EQ(ReasonOf(ParseUevent("PCI_SUBSYS_ID=1AF4:xyzt\n")),
            "holds \"PCI_SUBSYS_ID=1AF4:xyzt\", not PCI_SUBSYS_ID=VVVV:DDDD");
  EXPECT_EQ(ReasonOf(ParseUevent("PCI_ID=1B36:0010\n")),
            "has some of the lines PCI_CLASS, PCI_ID and PCI_SUBSYS_ID, but not all");
}

TEST(ParseUeventTest, ShowsHostileBytesShortAndPrintable) {
  EXPECT_EQ(ReasonOf(ParseUevent(std::string(1000, '\xff') + "\n")),
            "holds \"" + std::string(40, '?') + "...\", not KEY=VALUE");
}

TEST(ParseReservedRegionsTest, ReadsEveryType) {
  const auto regions = ParseReservedRegions(
      "0x0000000000000000 0x0000000000ffffff direct-relaxable\n0x0000000008000000 "
      "0x00000000080fffff msi\n"
      "0x0000000010000000 0x000000003effffff reserved\n0x00000000bd000000 0x00000000bdffffff "
      "direct\n"
      "0x00000000fee00000 0x00000000feefffff msi\n0x0001000000000000 0xffffffffffffffff reserved\n",
      core::kFixedWindow);
  ASSERT_TRUE(regions.ok()) << regions.status();
  ASSERT_THAT(*regions, SizeIs(6));
  EXPECT_EQ((*regions)[0].type, core::RegionType::kDirectRelaxable);
  EXPECT_EQ((*regions)[0].last, 0xffffffu);
  EXPECT_EQ((*regions)[1].type, core::RegionType::kSoftwareMsi);
  EXPECT_EQ((*regions)[2].type, core::RegionType::kReserved);
  EXPECT_EQ((*regions)[3].type, core::RegionType::kDirect);
  EXPECT_EQ((*regions)[4].type, core::RegionType::kHardwareMsi);
  EXPECT_EQ((*regions)[5].first, 0x0001000000000000u);
  EXPECT_EQ((*regions)[5].last, UINT64_MAX);
}

TEST(ParseReservedRegionsTest, NoRegionIsFine) {
  EXPECT_THAT(*ParseReservedRegions("", core::kFixedWindow), IsEmpty());
}

TEST(ParseReservedRegionsTest, SoftwareRegionIsTheOneThatEqualsTheWindow) {
  constexpr std::string_view kText = "0x0000000008000000 0x00000000080fffff msi\n";
  EXPECT_EQ(ParseReservedRegions(kText, core::kFixedWindow)->front().type,
            core::RegionType::kSoftwareMsi);
  EXPECT_EQ(ParseReservedRegions(kText, std::nullopt)->front().type,
            core::RegionType::kHardwareMsi);
  EXPECT_EQ(
      ParseReservedRegions(kText, core::Window{.base = 0x9000000, .size = 0x100000})->front().type,
      core::RegionType::kHardwareMsi);
  EXPECT_EQ(
      ParseReservedRegions(kText, core::Window{.base = 0x8000000, .size = 0x200000})->front().type,
      core::RegionType::kHardwareMsi);
}

TEST(ParseReservedRegionsTest, RefusesGarbage) {
  const auto reason = [](std::string_view text) {
    return ReasonOf(ParseReservedRegions(text, std::nullopt));
  };
  EXPECT_EQ(reason("0x0 0x1 cheese\n"), "holds \"0x0 0x1 cheese\", not \"0xFIRST 0xLAST TYPE\"");
  EXPECT_EQ(reason("0x2 0x1 msi\n"), "holds \"0x2 0x1 msi\", not \"0xFIRST 0xLAST TYPE\"");
  EXPECT_EQ(reason("0 1 msi\n"), "holds \"0 1 msi\", not \"0xFIRST 0xLAST TYPE\"");
  EXPECT_EQ(reason("0x0 0x1\n"), "holds \"0x0 0x1\", not \"0xFIRST 0xLAST TYPE\"");
  EXPECT_EQ(reason("0x0\n"), "holds \"0x0\", not \"0xFIRST 0xLAST TYPE\"");
  EXPECT_EQ(reason("\n"), "holds \"\", not \"0xFIRST 0xLAST TYPE\"");
  EXPECT_EQ(reason("0x0 0x1 msi"), "does not end with a newline");
  EXPECT_EQ(reason("0x0 0x10000000000000000 msi\n"),
            "holds \"0x0 0x10000000000000000 msi\", not \"0xFIRST 0xLAST TYPE\"");
}

TEST(ParseNumaNodeTest, MinusOneIsNone) {
  EXPECT_EQ(*ParseNumaNode("-1\n"), std::nullopt);
  EXPECT_EQ(*ParseNumaNode("0\n"), 0);
  EXPECT_EQ(*ParseNumaNode("1023\n"), 1023);
}

TEST(ParseNumaNodeTest, RefusesGarbage) {
  EXPECT_EQ(ReasonOf(ParseNumaNode("-2\n")), "holds \"-2\", not a NUMA node or -1");
  EXPECT_EQ(ReasonOf(ParseNumaNode("2147483648\n")), "holds \"2147483648\", not a NUMA node or -1");
  EXPECT_EQ(ReasonOf(ParseNumaNode("0")), "does not end with a newline");
  EXPECT_EQ(ReasonOf(ParseNumaNode("")), "is empty");
  EXPECT_EQ(ReasonOf(ParseNumaNode("0\n1\n")), "has more than one line");
  EXPECT_EQ(ReasonOf(ParseNumaNode(std::string_view("0\0\n", 3))),
            "holds \"0?\", not a NUMA node or -1");
}

TEST(ParseMsiWindowTest, ReadsAWindowOrNone) {
  EXPECT_EQ(*ParseMsiWindow("0x09000000 0x00100000\n"),
            (core::Window{.base = 0x9000000, .size = 0x100000}));
  EXPECT_EQ(*ParseMsiWindow("0x9000000 0x100000\n"),
            (core::Window{.base = 0x9000000, .size = 0x100000}));
  EXPECT_EQ(*ParseMsiWindow("none\n"), std::nullopt);
}

TEST(ParseMsiWindowTest, RefusesGarbage) {
  EXPECT_EQ(ReasonOf(ParseMsiWindow("maybe\n")),
            "holds \"maybe\", not \"0xBASE 0xSIZE\" or \"none\"");
  EXPECT_EQ(ReasonOf(ParseMsiWindow("0x09000000\n")),
            "holds \"0x09000000\", not \"0xBASE 0xSIZE\" or \"none\"");
  EXPECT_EQ(ReasonOf(ParseMsiWindow("none")), "does not end with a newline");
  EXPECT_EQ(ReasonOf(ParseMsiWindow("")), "is empty");
}

TEST(IsVfioCdevNameTest, IsVfioAndANumber) {
  EXPECT_TRUE(IsVfioCdevName("vfio0"));
  EXPECT_TRUE(IsVfioCdevName("vfio4095"));
  for (const std::string_view name : {"vfio", "vfio-1", "vfio1x", "noiommu-0", "", "../vfio0"}) {
    EXPECT_FALSE(IsVfioCdevName(name)) << name;
  }
}

}  // namespace
}  // namespace dp::sysfs
