// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/boot_id.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dp::os {
namespace {

TEST(BootIdTest, IsOneWordThatStays) {
  EXPECT_THAT(ReadBootId(), ::testing::MatchesRegex("[0-9a-f-]{36}"));
  EXPECT_EQ(ReadBootId(), ReadBootId());
}

}  // namespace
}  // namespace dp::os
