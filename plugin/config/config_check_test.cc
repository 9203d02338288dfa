// SPDX-License-Identifier: Apache-2.0
#include "plugin/config/config_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dp::config {
namespace {

using ::testing::HasSubstr;

core::Config TwoOfOneKind() {
  core::Config config;
  core::Selector selector;
  selector.vendor = 0x1b36;
  config.resources = {{.name = "vendor.example/a", .selectors = {selector}},
                      {.name = "vendor.example/b", .selectors = {selector}}};
  return config;
}

core::Inventory HostWithOne() {
  core::Function function;
  function.name = "0000:01:00.0";
  function.pci = core::PciIdentity{.address = {.domain = 0, .bus = 1, .slot = 0, .function = 0},
                                   .vendor = 0x1b36};
  core::Inventory host;
  host.groups.emplace_back().functions = {function};
  return host;
}

TEST(ConfigCheckTest, IsValidWhereNothingClashes) {
  EXPECT_EQ(CheckConfig("a.yaml", TwoOfOneKind(), core::Inventory()).value(), "a.yaml: valid");
}

TEST(ConfigCheckTest, IsRefusedWhereTwoResourcesSelectOneGroup) {
  const auto said = CheckConfig("a.yaml", TwoOfOneKind(), HostWithOne());
  EXPECT_EQ(said.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(said.status().message()), HasSubstr("both select IOMMU group 0"));
}

TEST(ConfigCheckTest, SaysWhenTheHostWasNotLookedAt) {
  EXPECT_EQ(
      CheckConfig("a.yaml", TwoOfOneKind(), absl::FailedPreconditionError("no IOMMU")).value(),
      "a.yaml: valid, but not compared with this host: no IOMMU");
}

}  // namespace
}  // namespace dp::config
