// SPDX-License-Identifier: Apache-2.0
#include "plugin/checker/check.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dp::checker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr core::PciAddress kAddress{.domain = 0, .bus = 1, .slot = 0, .function = 0};

domain::Domain VirtWith(std::uint64_t ram, std::vector<core::PciAddress> devices = {kAddress}) {
  domain::Domain domain;
  domain.arch = "aarch64";
  domain.machine = "virt";
  domain.ram = ram;
  domain.devices = std::move(devices);
  return domain;
}

// A host with any function, each in a group whose window is there.
FindGroup WindowAt(std::optional<core::Window> window, std::uint16_t vendor = 0x1b36,
                   std::uint16_t device = 0x10) {
  return [=](core::PciAddress address) -> absl::StatusOr<core::Group> {
    core::Group group;
    group.number = address.bus;
    group.window = window;
    core::Function& function = group.functions.emplace_back();
    function.name = core::FormatPciAddress(address);
    function.pci = core::PciIdentity{};
    function.pci->address = address;
    function.pci->vendor = vendor;
    function.pci->device = device;
    return group;
  };
}

FindGroup WindowAt(std::uint64_t base) {
  return WindowAt(core::Window{.base = base, .size = guest::kMib});
}

std::string Refusal(const domain::Domain& domain, const FindGroup& find_group) {
  const auto report = Check(domain, find_group);
  EXPECT_TRUE(absl::IsFailedPrecondition(report.status())) << report.status();
  return std::string(report.status().message());
}

TEST(CheckTest, AcceptsAWindowApartFromMemory) {
  for (const std::uint64_t base : {0x08000000U, 0x09100000U, 0x0ff00000U}) {
    const auto report = Check(VirtWith(4 * guest::kGib), WindowAt(base));
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(report->warnings, IsEmpty());
    ASSERT_EQ(report->devices.size(), 1U);
    EXPECT_EQ(report->devices[0].group, 1U);
    EXPECT_FALSE(report->map.empty());
  }
}

TEST(CheckTest, RefusesAWindowInMemory) {
  EXPECT_EQ(Refusal(VirtWith(4 * guest::kGib), WindowAt(0xa0000000)),
            "device 0000:01:00.0: the window [0xa0000000, 0xa0100000) meets RAM of the guest, "
            "[0x40000000, 0x140000000)");
  domain::Domain roomy = VirtWith(guest::kGib);
  roomy.max_ram = 4 * guest::kGib;
  EXPECT_THAT(Refusal(roomy, WindowAt(0xa0000000)), HasSubstr("memory that is plugged in"));
  EXPECT_TRUE(Check(VirtWith(guest::kGib), WindowAt(0xa0000000)).ok());
}

TEST(CheckTest, ChecksEachDevice) {
  const core::PciAddress second{.domain = 0, .bus = 2, .slot = 0, .function = 0};
  const FindGroup find = [second](core::PciAddress address) {
    return WindowAt(address == second ? 0x40000000 : 0x09100000)(address);
  };
  EXPECT_THAT(Refusal(VirtWith(guest::kGib, {kAddress, second}), find),
              HasSubstr("device 0000:02:00.0: "));
}

TEST(CheckTest, WarnsOfAPciWindow) {
  const auto report = Check(VirtWith(guest::kGib), WindowAt(0x10000000));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->warnings, ElementsAre(HasSubstr("meets the 32-bit PCI window")));
}

TEST(CheckTest, ADomainWithoutDevicesAlwaysPasses) {
  const FindGroup never = [](core::PciAddress) -> absl::StatusOr<core::Group> {
    ADD_FAILURE();
    return absl::InternalError("");
  };
  domain::Domain domain = VirtWith(guest::kGib, {});
  domain.smmu = "line 1: <iommu model='smmuv3'>";
  domain.unknown_memory = {"line 1: a"};
  EXPECT_TRUE(Check(domain, never).ok());
  domain.machine = "q35";
  EXPECT_TRUE(Check(domain, never).ok());
  // QEMU would not start it, which is not for us to say.
  EXPECT_TRUE(Check(VirtWith(std::uint64_t{1} << 55, {}), never).ok());
}

TEST(CheckTest, RefusesAMachineThatItDoesNotKnow) {
  domain::Domain domain = VirtWith(guest::kGib);
  domain.machine = "sbsa-ref";
  EXPECT_EQ(Refusal(domain, WindowAt(0x08000000)),
            "device 0000:01:00.0: whether its window meets memory of the guest cannot be told: "
            "only QEMU's virt for aarch64 is known, and this is a machine \"sbsa-ref\" for "
            "\"aarch64\"");
}

TEST(CheckTest, RefusesAGuestThatCannotStart) {
  EXPECT_THAT(Refusal(VirtWith(std::uint64_t{1} << 55), WindowAt(0x08000000)),
              HasSubstr("QEMU does not start this guest: "));
}

TEST(CheckTest, RefusesADeviceThatTheHostDoesNotKnow) {
  const FindGroup none = [](core::PciAddress) -> absl::StatusOr<core::Group> {
    return absl::FailedPreconditionError("/x does not exist");
  };
  EXPECT_EQ(Refusal(VirtWith(guest::kGib), none),
            "device 0000:01:00.0: its window is not known: /x does not exist");
}

TEST(CheckTest, AGroupWithoutAWindowIsInNobodysWay) {
  const auto report = Check(VirtWith(guest::kGib), WindowAt(std::nullopt));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->devices[0].window, std::nullopt);
  domain::Domain other = VirtWith(guest::kGib);
  other.machine = "q35";
  EXPECT_TRUE(Check(other, WindowAt(std::nullopt)).ok());
}

TEST(CheckTest, AnSmmuNeedsTheDefaultWindow) {
  domain::Domain domain = VirtWith(guest::kGib);
  domain.smmu = "line 9: <iommu model='smmuv3'>";
  EXPECT_TRUE(Check(domain, WindowAt(0x08000000)).ok());
  EXPECT_EQ(Refusal(domain, WindowAt(0x09100000)),
            "device 0000:01:00.0: the window is 0x09100000 0x00100000, but the domain has an "
            "SMMUv3 (line 9: <iommu model='smmuv3'>): its guest sends MSIs to 0x08000000 "
            "0x00100000 only");
}

TEST(CheckTest, WithAGraceGpuAllNeedTheDefaultWindow) {
  const core::Window moved{.base = 0x09100000, .size = guest::kMib};
  EXPECT_TRUE(Check(VirtWith(guest::kGib), WindowAt(core::kFixedWindow, 0x10de, 0x2342)).ok());
  EXPECT_EQ(Refusal(VirtWith(guest::kGib), WindowAt(moved, 0x10de, 0x2342)),
            "device 0000:01:00.0: the window is 0x09100000 0x00100000, but 0000:01:00.0 is a Grace "
            "GPU, which comes with an SMMUv3: its guest sends MSIs to 0x08000000 0x00100000 only");
  EXPECT_TRUE(Check(VirtWith(guest::kGib), WindowAt(moved, 0x10de, 0x1db6)).ok());
  const core::PciAddress second{.domain = 0, .bus = 2, .slot = 0, .function = 0};
  const FindGroup find = [=](core::PciAddress address) {
    return address == second ? WindowAt(core::kFixedWindow, 0x10de, 0x2941)(address)
                             : WindowAt(moved)(address);
  };
  EXPECT_THAT(Refusal(VirtWith(guest::kGib, {kAddress, second}), find),
              HasSubstr("device 0000:01:00.0: the window is 0x09100000 0x00100000, but "
                        "0000:02:00.0 is a Grace GPU"));
}

TEST(CheckTest, WhereMemoryIsNotKnownOnlyWhatIsFreeInAnyGuestPasses) {
  domain::Domain domain = VirtWith(guest::kGib);
  domain.unknown_memory = {"line 7: qemu:arg \"-m 8G\""};
  const auto report = Check(domain, WindowAt(0x0ff00000));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->map.back().end, ~std::uint64_t{0});
  EXPECT_EQ(Check(domain, WindowAt(0x10000000))->warnings.size(), 1U);
  EXPECT_EQ(Refusal(domain, WindowAt(0x80000000)),
            "device 0000:01:00.0: the window [0x80000000, 0x80100000) meets RAM of the guest, "
            "[0x40000000, 0xffffffffffffffff); where its RAM ends cannot be told, because of line "
            "7: qemu:arg \"-m 8G\"");
  EXPECT_THAT(Refusal(domain, WindowAt(0x09000000)), HasSubstr("stolen time"));
}

TEST(CheckTest, RefusesDevicesThatItDoesNotSee) {
  domain::Domain domain = VirtWith(guest::kGib, {});
  domain.unknown_devices = {"line 7: qemu:arg \"-device vfio-pci\""};
  EXPECT_THAT(Refusal(domain, WindowAt(0x08000000)),
              HasSubstr("may give the guest a device that is not among its <devices>"));
}

TEST(CheckTest, WarnsWhereAPciWindowMayHaveBeenMoved) {
  domain::Domain domain = VirtWith(guest::kGib);
  domain.unknown_pci = {"line 4: <pcihole64>"};
  EXPECT_THAT(Check(domain, WindowAt(0x09100000))->warnings, IsEmpty());
  EXPECT_THAT(Check(domain, WindowAt(0x4000000000))->warnings,
              ElementsAre(HasSubstr("cannot be told, because of line 4: <pcihole64>")));
}

TEST(CheckTest, ReadsADocument) {
  EXPECT_TRUE(absl::IsInvalidArgument(CheckXml("<a/>", WindowAt(0x08000000)).status()));
  EXPECT_TRUE(CheckXml("<domain><memory>1</memory></domain>", WindowAt(0x08000000)).ok());
}

}  // namespace
}  // namespace dp::checker
