// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/window.h"

#include <gtest/gtest.h>

namespace dp::core {
namespace {

TEST(WindowTest, WritesWhatTheKernelWrites) {
  EXPECT_EQ(FormatWindow({.base = 0x09000000, .size = 0x100000}), "0x09000000 0x00100000");
  EXPECT_EQ(FormatWindow({.base = 0x1200000000, .size = 0x200000}), "0x1200000000 0x00200000");
}

TEST(WindowTest, ReadsBackWhatItWrites) {
  for (const Window window : {kFixedWindow, Window{0, 0}, Window{UINT64_MAX, 0x100000}}) {
    const auto parsed = ParseWindow(FormatWindow(window));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, window);
    EXPECT_EQ(*ParseWindow(FormatWindow(window) + "\n"), window);
  }
}

TEST(WindowTest, RefusesEverythingElse) {
  for (const char* text :
       {"", "\n", "none", "0x09000000", "0x09000000 ", " 0x09000000 0x00100000",
        "0x09000000  0x00100000", "0x09000000 0x00100000 ", "0x09000000 0x00100000\n\n",
        "09000000 00100000", "0x 0x", "0x09000000 -1", "0x10000000000000000 0x00100000",
        "0X09000000 0x00100000", "0x09000000\t0x00100000", "0x09000000 0x0010000g"}) {
    EXPECT_EQ(ParseWindow(text).status().code(), absl::StatusCode::kInvalidArgument)
        << '"' << text << '"';
  }
}

}  // namespace
}  // namespace dp::core
