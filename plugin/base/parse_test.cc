// SPDX-License-Identifier: Apache-2.0
#include "plugin/base/parse.h"

#include <gtest/gtest.h>

#include <string_view>

namespace dp::base {
namespace {

TEST(ParseTest, ReadsDecimal) {
  EXPECT_EQ(ParseDecimal<std::uint8_t>("0"), 0);
  EXPECT_EQ(ParseDecimal<std::uint8_t>("255"), 255);
  EXPECT_EQ(ParseDecimal<std::uint32_t>("010"), 10u);
  EXPECT_EQ(ParseDecimal<std::uint64_t>("18446744073709551615"), UINT64_MAX);
}

TEST(ParseTest, ReadsHexWithAndWithoutPrefix) {
  EXPECT_EQ(ParseHex<std::uint16_t>("1b36"), 0x1b36);
  EXPECT_EQ(ParseHex<std::uint16_t>("1B36"), 0x1b36);
  EXPECT_EQ(ParseHex<std::uint16_t>("0x1b36"), 0x1b36);
  EXPECT_EQ(ParseHex<std::uint64_t>("0XFFFFFFFFFFFFFFFF"), UINT64_MAX);
}

TEST(ParseTest, PrefixDecidesTheRadixOfANumber) {
  EXPECT_EQ(ParseNumber<std::uint32_t>("0x10"), 16u);
  EXPECT_EQ(ParseNumber<std::uint32_t>("10"), 10u);
}

TEST(ParseTest, RefusesWhatDoesNotFitTheType) {
  EXPECT_EQ(ParseDecimal<std::uint8_t>("256"), std::nullopt);
  EXPECT_EQ(ParseHex<std::uint16_t>("10000"), std::nullopt);
  EXPECT_EQ(ParseNumber<std::uint64_t>("18446744073709551616"), std::nullopt);
  EXPECT_EQ(ParseNumber<std::uint64_t>("0x10000000000000000"), std::nullopt);
}

class RefusedNumberTest : public testing::TestWithParam<std::string_view> {};

TEST_P(RefusedNumberTest, IsNoNumberInAnyRadix) {
  EXPECT_EQ(ParseDecimal<std::uint64_t>(GetParam()), std::nullopt);
  EXPECT_EQ(ParseHex<std::uint64_t>(GetParam()), std::nullopt);
  EXPECT_EQ(ParseNumber<std::uint64_t>(GetParam()), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(Texts, RefusedNumberTest,
                         testing::Values("", " ", "-1", "+1", " 1", "1 ", "1\n", "1_000", "0x",
                                         "0x-1", "0x 1", "0x0x1", "g", "1.0",
                                         std::string_view("1\0", 2)));

}  // namespace
}  // namespace dp::base
