// SPDX-License-Identifier: Apache-2.0
#include "plugin/guest/quantity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>

namespace dp::guest {
namespace {

using testing::HasSubstr;

std::string MessageOf(std::string_view text) {
  return std::string(ParseQuantity(text).status().message());
}

// Expected values are those of resource.MustParse(text).Value() in k8s.io/apimachinery.
class QuantityTest : public testing::TestWithParam<std::tuple<const char*, std::uint64_t>> {};

TEST_P(QuantityTest, IsWhatKubernetesReads) {
  const auto& [text, bytes] = GetParam();
  const auto parsed = ParseQuantity(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, bytes);
}

INSTANTIATE_TEST_SUITE_P(
    Texts, QuantityTest,
    testing::Values(std::tuple{"1Gi", 1073741824U}, std::tuple{"1500M", 1500000000U},
                    std::tuple{"1e9", 1000000000U}, std::tuple{"1E9", 1000000000U},
                    std::tuple{"1E", 1000000000000000000U}, std::tuple{"+2Ki", 2048U},
                    std::tuple{"1.5Gi", 1610612736U}, std::tuple{".5Mi", 524288U},
                    std::tuple{"3.", 3U}, std::tuple{"0.1Ki", 103U}, std::tuple{"100m", 1U},
                    std::tuple{"1001m", 2U}, std::tuple{"1n", 1U}, std::tuple{"5000000u", 5U},
                    std::tuple{"007", 7U}, std::tuple{"12e-1", 2U}, std::tuple{"1e-300", 1U},
                    std::tuple{"7Ei", 8070450532247928832U},
                    std::tuple{"9223372036854775807", 9223372036854775807U},
                    std::tuple{"1.00000000000000000000000000001", 2U}));

TEST(QuantityTest, RefusesWhatIsNone) {
  for (const char* text : {"", "Gi", "-", ".", "1gi", "1 Gi", " 1Gi", "1Gi ", "1.2.3", "1e", "1e+",
                           "1e1000", "0x10", "1Kib", "1e1Gi", "NaN", "1,5Gi"}) {
    EXPECT_THAT(MessageOf(text), HasSubstr("is no quantity of bytes such as 2Gi")) << text;
  }
  EXPECT_THAT(MessageOf(std::string(65, '1')), HasSubstr("is too long"));
}

TEST(QuantityTest, ShowsAnyBytesInOneLine) {
  EXPECT_THAT(MessageOf("1\n\x7fGi\xc3"), testing::StartsWith("\"1??Gi?\" is no quantity"));
}

TEST(QuantityTest, RefusesNothingAndLess) {
  for (const char* text : {"0", "0Gi", "0.0", "-1Gi", "-0", "000e9"}) {
    EXPECT_THAT(MessageOf(text), HasSubstr("is no quantity above 0")) << text;
  }
}

TEST(QuantityTest, RefusesMoreThanAnAddressCanTell) {
  for (const char* text : {"9223372036854775808", "8Ei", "10E", "1e19", "1e999",
                           "99999999999999999999", "123456789012345678901234567890Ei"}) {
    EXPECT_TRUE(absl::IsOutOfRange(ParseQuantity(text).status())) << text;
  }
}

}  // namespace
}  // namespace dp::guest
