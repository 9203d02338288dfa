// SPDX-License-Identifier: Apache-2.0
#include "plugin/hook/vm_start.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dp::hook {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr core::Window kFirst{.base = 0x09100000, .size = 0x100000};
constexpr core::Window kOverRam{.base = 0x40000000, .size = 0x100000};

class VmStartTest : public ::testing::Test {
 protected:
  VmStartTest() {
    vmi_.space = "default";
    vmi_.name = "vm-a";
    vmi_.ram = 4 * guest::kGib;
    vmi_.resources = {"other.example/thing", "vendor.example/nvme"};
    facts_.resources = {"vendor.example/nvme"};
    facts_.held = {{.pod = {.space = "default", .name = "virt-launcher-vm-a-x7k2p"},
                    .resource = "vendor.example/nvme",
                    .device = "0000:01:00.0",
                    .reserved = kFirst,
                    .window = kFirst,
                    .grace = {},
                    .error = {}}};
  }
  std::string Refusal() {
    const auto result = CheckVmStart(vmi_, facts_);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
    return std::string(result.status().message());
  }

  guest::Vmi vmi_;
  NodeFacts facts_;
};

TEST_F(VmStartTest, LetsAMachineStartWithItsWindow) {
  EXPECT_THAT(CheckVmStart(vmi_, facts_).value(), IsEmpty());
}

TEST_F(VmStartTest, HasNothingToSayOfOtherMachines) {
  vmi_.resources = {"other.example/thing"};
  facts_.held[0].error = "cannot be read";
  EXPECT_THAT(CheckVmStart(vmi_, facts_).value(), IsEmpty());
}

TEST_F(VmStartTest, RefusesAWindowThatIsNotTheReservedOne) {
  facts_.held[0].window = core::kFixedWindow;
  EXPECT_EQ(Refusal(),
            "device 0000:01:00.0: the window in force is 0x08000000 0x00100000, and 0x09100000 "
            "0x00100000 is reserved for it: delete the pod virt-launcher-vm-a-x7k2p");
  facts_.held[0].window = std::nullopt;
  EXPECT_THAT(Refusal(), HasSubstr("the window in force is none"));
}

TEST_F(VmStartTest, RefusesAGroupThatCannotBeRead) {
  facts_.held[0].error = "no IOMMU group 7";
  EXPECT_EQ(Refusal(), "device 0000:01:00.0: no IOMMU group 7");
}

TEST_F(VmStartTest, RefusesAWindowOverMemory) {
  facts_.held[0].reserved = kOverRam;
  facts_.held[0].window = kOverRam;
  EXPECT_THAT(Refusal(), HasSubstr("device 0000:01:00.0: the window [0x40000000, 0x40100000) meets "
                                   "RAM of the guest"));
}

TEST_F(VmStartTest, LooksAtWindowsThatAreOnlyObserved) {
  facts_.held[0].reserved = std::nullopt;
  EXPECT_THAT(CheckVmStart(vmi_, facts_).value(), IsEmpty());
  facts_.held[0].window = kOverRam;
  EXPECT_THAT(Refusal(), HasSubstr("meets RAM"));
  facts_.held[0].window = std::nullopt;
  EXPECT_THAT(CheckVmStart(vmi_, facts_).value(), IsEmpty());
}

TEST_F(VmStartTest, RefusesAnotherWindowBesideAGraceGpu) {
  facts_.held.push_back(facts_.held[0]);
  facts_.held[1].device = "0000:02:00.0";
  facts_.held[1].reserved = std::nullopt;
  facts_.held[1].window = core::kFixedWindow;
  facts_.held[1].grace = "0000:02:00.0";
  EXPECT_EQ(Refusal(),
            "device 0000:01:00.0: the window is 0x09100000 0x00100000, but 0000:02:00.0 is a Grace "
            "GPU: its guest sends MSIs to 0x08000000 0x00100000 only");
  facts_.held[0].reserved = std::nullopt;
  facts_.held[0].window = core::kFixedWindow;
  EXPECT_THAT(CheckVmStart(vmi_, facts_).value(), IsEmpty());
}

TEST_F(VmStartTest, LooksAtThePoolIfNoPodIsKnown) {
  facts_.held.clear();
  EXPECT_THAT(CheckVmStart(vmi_, facts_).value(),
              ElementsAre(HasSubstr("no pod of it is known to have devices")));
  facts_.pool.end = 0x50000000;
  EXPECT_THAT(Refusal(), HasSubstr("the pool of windows: the window [0x9100000, 0x50000000) meets "
                                   "RAM of the guest"));
}

TEST_F(VmStartTest, RefusesWhatNoMachineCanHave) {
  vmi_.ram = std::uint64_t{1} << 60;
  EXPECT_THAT(Refusal(), HasSubstr("QEMU does not start such a guest: "));
}

}  // namespace
}  // namespace dp::hook
