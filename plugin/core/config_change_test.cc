// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/config_change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dp::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Config Of(const std::vector<std::string>& names) {
  Config config;
  for (const std::string& name : names) {
    config.resources.push_back({.name = name, .selectors = {Selector{}}, .line = 1});
  }
  return config;
}

std::vector<std::string> Served(const Config& config) {
  std::vector<std::string> names;
  for (const Resource& resource : config.resources) {
    names.push_back(resource.selectors.empty() ? "-" : resource.name);
  }
  return names;
}

TEST(ConfigChangeTest, KeepsTheirPlaces) {
  ConfigChange change = PlanChange(Of({"a", "b", "c"}), Of({"d", "c", "a"}));
  EXPECT_THAT(Served(change.config), ElementsAre("a", "-", "c", "d"));
  EXPECT_THAT(change.added, ElementsAre(3));
  EXPECT_THAT(change.removed, ElementsAre(1));

  change = PlanChange(change.config, Of({"b", "d"}));
  EXPECT_THAT(Served(change.config), ElementsAre("-", "b", "-", "d"));
  EXPECT_THAT(change.added, ElementsAre(1));
  EXPECT_THAT(change.removed, ElementsAre(0, 2));

  change = PlanChange(change.config, Of({"b", "d"}));
  EXPECT_THAT(change.added, IsEmpty());
  EXPECT_THAT(change.removed, IsEmpty());
}

TEST(ConfigChangeTest, TakesEverythingElseFromTheNewOne) {
  Config next = Of({"a"});
  next.mode = Mode::kObserve;
  next.pool.end = 0x09200000;
  next.resources[0].selectors[0].vendor = 0x8086;
  const ConfigChange change = PlanChange(Of({"a"}), next);
  EXPECT_EQ(change.config.mode, Mode::kObserve);
  EXPECT_EQ(change.config.pool.end, 0x09200000U);
  EXPECT_EQ(change.config.resources[0].selectors[0].vendor, 0x8086);
}

}  // namespace
}  // namespace dp::core
