// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/preferred_allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace dp::core {
namespace {

using Ids = std::vector<std::string>;
using ::testing::HasSubstr;

// Devices a0, a1, ... on node 0, b0, ... on node 1, c0, ... on none; as many as given.
std::vector<Offer> Host(int a, int b, int c) {
  std::vector<Offer> offers;
  const auto add = [&](char letter, int count, std::optional<int> node) {
    for (int i = 0; i < count; ++i) {
      const std::string id = std::string(1, letter) + std::to_string(i);
      offers.push_back(
          {.id = id, .function = id, .group = 0, .numa_node = node, .unhealthy_reason = {}});
    }
  };
  add('a', a, 0);
  add('b', b, 1);
  add('c', c, std::nullopt);
  return offers;
}

Ids AllOf(const std::vector<Offer>& offers) {
  Ids ids;
  for (const Offer& offer : offers) ids.push_back(offer.id);
  return ids;
}

struct PreferCase {
  const char* name;
  std::vector<Offer> offers;
  Ids must;
  int size;
  Ids expected;
};

class PreferTest : public ::testing::TestWithParam<PreferCase> {};

TEST_P(PreferTest, PrefersOneNode) {
  const PreferCase& c = GetParam();
  Ids available = AllOf(c.offers);
  for (int order = 0; order < 2; ++order) {
    const auto preferred = PreferDevices(c.offers, available, c.must, c.size);
    ASSERT_TRUE(preferred.ok()) << preferred.status();
    EXPECT_EQ(*preferred, c.expected);
    std::reverse(available.begin(), available.end());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, PreferTest,
    ::testing::Values(
        PreferCase{"lowest", Host(4, 4, 0), {}, 2, {"a0", "a1"}},
        PreferCase{"tightest_fit", Host(4, 2, 0), {}, 2, {"b0", "b1"}},
        PreferCase{"node_that_holds_all", Host(2, 4, 0), {}, 3, {"b0", "b1", "b2"}},
        PreferCase{"few_nodes_if_none_holds_all", Host(2, 3, 4), {}, 4, {"b0", "b1", "b2", "a0"}},
        PreferCase{"node_of_what_must_be", Host(4, 2, 0), {"a3"}, 2, {"a3", "a0"}},
        PreferCase{"rest_elsewhere", Host(2, 4, 0), {"a0"}, 4, {"a0", "a1", "b0", "b1"}},
        PreferCase{"without_node_last", Host(1, 0, 4), {}, 2, {"a0", "c0"}},
        PreferCase{"only_what_must_be", Host(2, 2, 0), {"a1", "b1"}, 2, {"a1", "b1"}},
        PreferCase{"everything", Host(1, 1, 1), {}, 3, {"a0", "b0", "c0"}}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(PreferDevicesTest, TakesOnlyWhatIsAvailable) {
  const auto preferred = PreferDevices(Host(4, 0, 0), Ids{"a1", "a3", "gone"}, {}, 2);
  ASSERT_TRUE(preferred.ok()) << preferred.status();
  EXPECT_EQ(*preferred, (Ids{"a1", "a3"}));
}

TEST(PreferDevicesTest, RefusesWhatCannotBe) {
  const auto offers = Host(2, 0, 0);
  const Ids all = AllOf(offers);
  const auto refusal = [&](const Ids& must, int size) {
    const auto status = PreferDevices(offers, all, must, size).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(refusal({}, 0), HasSubstr("allocation size is 0"));
  EXPECT_THAT(refusal({}, -1), HasSubstr("allocation size is -1"));
  EXPECT_THAT(refusal({}, 3), HasSubstr("3 devices are asked for, and 2"));
  EXPECT_THAT(refusal({"a0", "a1"}, 1), HasSubstr("2 devices must be included"));
  EXPECT_THAT(refusal({"b0"}, 1), HasSubstr("b0 must be included but is not available"));
  EXPECT_THAT(refusal({"a0", "a0"}, 2), HasSubstr("a0 must be included twice"));
}

}  // namespace
}  // namespace dp::core
