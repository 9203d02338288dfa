// SPDX-License-Identifier: Apache-2.0
#include "plugin/guest/memory_map.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dp::guest {
namespace {

using testing::Contains;
using testing::HasSubstr;

std::vector<Range> MapOf(const Layout& layout) {
  const auto map = MemoryMap(layout);
  EXPECT_TRUE(map.ok()) << map.status();
  return map.value_or(std::vector<Range>());
}

Verdict JudgeIn(const Layout& layout, std::uint64_t base, std::uint64_t size = kMib) {
  return Judge({.base = base, .size = size}, MapOf(layout));
}

TEST(MemoryMapTest, RamBeginsAtOneGib) {
  EXPECT_THAT(MapOf({.ram = kGib}), Contains(Range{0x40000000, 0x80000000, Use::kRam}));
  EXPECT_THAT(MapOf({.ram = 600 * kGib}), Contains(Range{0x40000000, 0x9640000000, Use::kRam}));
}

TEST(MemoryMapTest, RoomForMoreMemoryFollowsRam) {
  EXPECT_THAT(MapOf({.ram = 3 * kGib, .max_ram = 10 * kGib, .slots = 4}),
              Contains(Range{0x100000000, 0x3c0000000, Use::kDeviceMemory}));
  EXPECT_THAT(MapOf({.ram = 3 * kGib - kMib, .max_ram = 3 * kGib}),
              Contains(Range{0x100000000, 0x100100000, Use::kDeviceMemory}));
}

TEST(MemoryMapTest, IsRefusedWhereQemuDoesNotStart) {
  const auto message = [](const Layout& layout) {
    return std::string(MemoryMap(layout).status().message());
  };
  EXPECT_EQ(message({}), "a machine without RAM");
  EXPECT_THAT(message({.ram = 2 * kGib, .max_ram = kGib}),
              HasSubstr("may have 0x40000000 at most"));
  EXPECT_EQ(message({.ram = kGib, .slots = 257}), "257 slots for memory are more than 256");
  EXPECT_THAT(message({.ram = 4 * kGib, .highmem = false}),
              HasSubstr("does not fit into 0x100000000 bytes"));
  EXPECT_THAT(message({.ram = std::uint64_t{1} << 63}), HasSubstr("do not fit"));
  EXPECT_THAT(message({.ram = ~std::uint64_t{0}, .max_ram = ~std::uint64_t{0}}),
              HasSubstr("do not fit"));
  EXPECT_THAT(message({.ram = 512 * kGib, .address_bits = 39}), HasSubstr("does not fit"));
  EXPECT_THAT(message({.ram = kGib, .address_bits = 64}), HasSubstr("no processor has 64 bits"));
}

// What the pool of the configuration may be without `allowUnproven`.
TEST(JudgeTest, TheProvenRangeIsFreeInEveryGuest) {
  for (std::uint64_t ram = kMib; ram < 204800 * kGib; ram = ram * 3 / 2 + kMib) {
    for (const bool highmem : {false, true}) {
      for (const std::uint32_t slots : {0U, 256U}) {
        const auto map =
            MemoryMap({.ram = ram, .max_ram = ram * 5 / 4, .slots = slots, .highmem = highmem});
        if (!map.ok()) continue;
        const Verdict verdict =
            Judge({.base = kProvenStart, .size = kProvenEnd - kProvenStart}, *map);
        EXPECT_EQ(verdict.judgement, Judgement::kAccept) << ram << ": " << verdict.reason;
      }
    }
  }
}

TEST(JudgeTest, RejectsRamAndNamesBothRanges) {
  const Verdict verdict = JudgeIn({.ram = kGib}, 0x7ff00000, 2 * kMib);
  EXPECT_EQ(verdict.judgement, Judgement::kReject);
  EXPECT_EQ(verdict.reason,
            "the window [0x7ff00000, 0x80100000) meets RAM of the guest, [0x40000000, 0x80000000)");
}

TEST(JudgeTest, AcceptsRightBesideRam) {
  EXPECT_EQ(JudgeIn({.ram = kGib}, 0x80000000).judgement, Judgement::kAccept);
  EXPECT_EQ(JudgeIn({.ram = kGib}, 0x3ff00000).judgement, Judgement::kAccept);
}

TEST(JudgeTest, RejectsRoomForMoreMemory) {
  EXPECT_THAT(JudgeIn({.ram = kGib, .max_ram = 2 * kGib}, 0x80000000).reason,
              HasSubstr("meets the room for memory that is plugged in of the guest"));
}

TEST(JudgeTest, RejectsThePageOfStolenTime) {
  EXPECT_THAT(JudgeIn({.ram = kGib}, 0x09000000).reason,
              HasSubstr("meets the page of stolen time of the guest, [0x90a0000, 0x90b0000)"));
}

TEST(JudgeTest, WarnsInPciWindows) {
  const Verdict low = JudgeIn({.ram = kGib}, 0x10000000);
  EXPECT_EQ(low.judgement, Judgement::kWarn);
  EXPECT_THAT(low.reason, HasSubstr("the 32-bit PCI window of the guest"));
  EXPECT_THAT(JudgeIn({.ram = kGib}, 0x8000000000).reason, HasSubstr("the 64-bit PCI window"));
}

TEST(JudgeTest, TheWorstIsSaid) {
  EXPECT_EQ(JudgeIn({.ram = kGib}, 0x3ef00000, 0x2000000).judgement, Judgement::kReject);
}

TEST(JudgeTest, AWindowMayEndWhereAddressesEnd) {
  const std::vector<Range> last{
      {.start = 0xfffffffffff00000, .end = ~std::uint64_t{0}, .use = Use::kRam}};
  const Verdict verdict = Judge({.base = 0xfffffffffff00000, .size = kMib}, last);
  EXPECT_THAT(verdict.reason, HasSubstr("the window [0xfffffffffff00000, 2^64) meets RAM"));
  EXPECT_EQ(Judge({.base = 0xffffffffffe00000, .size = kMib}, last).judgement, Judgement::kAccept);
}

}  // namespace
}  // namespace dp::guest
