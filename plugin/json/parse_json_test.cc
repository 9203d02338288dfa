// SPDX-License-Identifier: Apache-2.0
#include "plugin/json/parse_json.h"

#include <gtest/gtest.h>

#include <string>

namespace dp::json {
namespace {

constexpr Bounds kBounds{.bytes = 100, .depth = 3};

std::string MessageOf(std::string_view text) {
  return std::string(Parse(text, kBounds).status().message());
}

TEST(ParseJsonTest, ReadsUpToItsBounds) {
  EXPECT_EQ(Parse(R"([[["]]]]", "{{{{\\"]]])", kBounds)->dump(), R"([[["]]]]","{{{{\\"]]])");
  EXPECT_TRUE(Parse(std::string(99, ' ') + '1', kBounds).ok());
}

TEST(ParseJsonTest, SaysWhatIsWrong) {
  EXPECT_EQ(MessageOf("[1,"), "it is no JSON from byte 4 on");
  EXPECT_EQ(MessageOf("1e999"), "it has a number that is out of range");
  EXPECT_EQ(MessageOf("[[[["), "it is nested more than 3 deep");
  EXPECT_EQ(MessageOf(std::string(101, ' ')), "it has 101 bytes, more than 100");
}

}  // namespace
}  // namespace dp::json
