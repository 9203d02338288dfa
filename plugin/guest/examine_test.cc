// SPDX-License-Identifier: Apache-2.0
#include "plugin/guest/examine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dp::guest {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::vector<Range> kMap = MemoryMap({.ram = 4 * kGib}).value();

std::vector<DeviceWindow> DevicesAt(std::initializer_list<std::uint64_t> bases) {
  std::vector<DeviceWindow> devices;
  for (const std::uint64_t base : bases) {
    devices.push_back({.device = "device " + std::to_string(devices.size()),
                       .window = {.base = base, .size = kMib}});
  }
  return devices;
}

TEST(ExamineTest, LetsAWindowApartFromTheGuestPass) {
  EXPECT_THAT(Examine(kMap, DevicesAt({0x08000000, 0x09100000, 0x0ff00000}), "").value(),
              IsEmpty());
  EXPECT_THAT(Examine(kMap, {}, "").value(), IsEmpty());
}

TEST(ExamineTest, RefusesWhatMeetsMemory) {
  const auto result = Examine(kMap, DevicesAt({0x10000000, 0x09100000, 0x40000000}), "");
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(result.status().message(),
            "device 2: the window [0x40000000, 0x40100000) meets RAM of the guest, [0x40000000, "
            "0x140000000)");
}

TEST(ExamineTest, SaysWhatMeetsAPciWindow) {
  EXPECT_THAT(Examine(kMap, DevicesAt({0x09100000, 0x10000000}), "").value(),
              ElementsAre("device 1: the window [0x10000000, 0x10100000) meets the 32-bit PCI "
                          "window of the guest, [0x10000000, 0x3eff0000): devices cannot reach "
                          "each other's BARs there"));
}

TEST(ExamineTest, RefusesAnyOtherWindowWhereOnlyTheDefaultWillDo) {
  EXPECT_THAT(Examine(kMap, DevicesAt({0x08000000}), "the domain has an SMMUv3").value(),
              IsEmpty());
  const auto result =
      Examine(kMap, DevicesAt({0x08000000, 0x09100000}), "the domain has an SMMUv3");
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(result.status().message(),
            "device 1: the window is 0x09100000 0x00100000, but the domain has an SMMUv3: its "
            "guest sends MSIs to 0x08000000 0x00100000 only");
}

}  // namespace
}  // namespace dp::guest
