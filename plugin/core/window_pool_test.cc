// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/window_pool.h"

#include <gtest/gtest.h>

namespace dp::core {
namespace {

constexpr std::uint64_t kMiB = 0x100000;
constexpr Pool kFour{.start = 0x09000000, .end = 0x09000000 + 4 * kMiB, .window_size = kMiB};

Window At(std::uint64_t cell, std::uint64_t size = 1) {
  return {.base = kFour.start + cell * kMiB, .size = size * kMiB};
}

TEST(WindowPoolTest, HasAHundredAndElevenWindowsByDefault) {
  EXPECT_EQ(WindowPool(Pool{}).size(), 111U);
}

TEST(WindowPoolTest, RotatesSoThatAWindowComesBackLate) {
  WindowPool pool(kFour);
  EXPECT_EQ(pool.Take(), At(0));
  pool.Release(At(0));
  EXPECT_EQ(pool.Take(), At(1));
  EXPECT_EQ(pool.Take(), At(2));
  EXPECT_EQ(pool.Take(), At(3));
  EXPECT_EQ(pool.Take(), At(0));
  EXPECT_EQ(pool.Take(), std::nullopt);
  pool.Release(At(2));
  EXPECT_EQ(pool.Take(), At(2));
}

TEST(WindowPoolTest, KeepsWhatOverlapsAClaim) {
  WindowPool pool(kFour);
  pool.Claim({.base = kFour.start - kMiB, .size = 2 * kMiB + 1});  // cells 0 and 1
  EXPECT_EQ(pool.Take(), At(2));
  pool.Claim(At(3));
  pool.Claim(At(3));
  EXPECT_EQ(pool.Take(), std::nullopt);
  pool.Release(At(3));
  EXPECT_EQ(pool.Take(), std::nullopt);
  pool.Release(At(3));
  EXPECT_EQ(pool.Take(), At(3));
}

TEST(WindowPoolTest, KnowsItsBorders) {
  const WindowPool pool(kFour);
  EXPECT_TRUE(pool.Overlaps(At(0)));
  EXPECT_TRUE(pool.Overlaps(At(3)));
  EXPECT_FALSE(pool.Overlaps(At(4)));
  EXPECT_FALSE(pool.Overlaps(kFixedWindow));
  EXPECT_TRUE(pool.Overlaps({.base = 0, .size = UINT64_MAX}));
  EXPECT_FALSE(pool.Overlaps({.base = UINT64_MAX - kMiB, .size = 2 * kMiB}));
  EXPECT_FALSE(pool.Overlaps({.base = kFour.start, .size = 0}));
}

TEST(WindowPoolTest, LeavesOutARestThatIsTooSmall) {
  WindowPool pool({.start = kFour.start, .end = kFour.start + 3 * kMiB, .window_size = 2 * kMiB});
  EXPECT_EQ(pool.size(), 1U);
  EXPECT_EQ(pool.Take(), At(0, 2));
  EXPECT_EQ(pool.Take(), std::nullopt);
}

}  // namespace
}  // namespace dp::core
