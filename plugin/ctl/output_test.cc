// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/output.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace dp::ctl {
namespace {

TEST(OutputTest, AlignsColumns) {
  EXPECT_EQ(Table({"A", "LONG"}, {{{"first"}, {""}}, {{"x"}, {"y\x1b[2J"}}}, {}),
            "A      LONG\nfirst  -\nx      y?[2J\n");
}

TEST(OutputTest, PaintsOnlyWhereThereAreColours) {
  Style style;
  EXPECT_EQ(Table({"A", "B"}, {{{"x", Tone::kBad}, {"y"}}}, style), "A  B\nx  y\n");
  style.has_colour = true;
  EXPECT_EQ(Table({"A", "B"}, {{{"x", Tone::kBad}, {"y"}}}, style), "A  B\n\x1b[31mx\x1b[0m  y\n");
}

TEST(OutputTest, ShowsTimes) {
  EXPECT_EQ(ShowTime(1764171559000), "2025-11-26T15:39:19Z");
  EXPECT_EQ(ShowTime(std::numeric_limits<std::int64_t>::max()), "9999-12-31T23:59:59Z");
  EXPECT_EQ(ShowTime(-1), "1970-01-01T00:00:00Z");
  EXPECT_EQ(ShowAge(0, 5000), "-");
  EXPECT_EQ(ShowAge(1000, 6000), "5s");
  EXPECT_EQ(ShowAge(6000, 1000), "0s");
  EXPECT_EQ(ShowAge(1000, 1000 + 3600 * 1000), "60m");
  EXPECT_EQ(ShowAge(1000, 1000 + 40 * 3600 * 1000), "40h");
  EXPECT_EQ(ShowAge(1000, 1000 + std::int64_t{72} * 3600 * 1000), "3d");
}

TEST(OutputTest, WritesBothLanguages) {
  EXPECT_EQ(Render({{"a", "\xff"}}, Format::kJson), "{\n  \"a\": \"\xef\xbf\xbd\"\n}\n");
  EXPECT_EQ(Render({{"a", "b"}}, Format::kYaml), "a: \"b\"\n");
}

}  // namespace
}  // namespace dp::ctl
