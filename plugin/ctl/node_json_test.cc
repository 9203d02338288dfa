// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/node_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/fakes/some_node.h"

namespace dp::ctl {
namespace {

using ::testing::HasSubstr;

TEST(NodeJsonTest, ThereAndBack) {
  const Node node = fakes::SomeNode();
  EXPECT_EQ(NodeFromJson(JsonOf(node).dump()).value(), node);
  const Node nothing;
  EXPECT_EQ(NodeFromJson(JsonOf(nothing).dump()).value(), nothing);
}

TEST(NodeJsonTest, RefusesAnythingElse) {
  const auto message = [](const char* text) {
    return std::string(NodeFromJson(text).status().message());
  };
  EXPECT_THAT(message("{"), HasSubstr("no JSON"));
  EXPECT_THAT(message("[]"), HasSubstr("it is no Node of vfio-doorbell/ctl/v1"));
  EXPECT_THAT(message(R"({"apiVersion": "vfio-doorbell/ctl/v2", "kind": "Node"})"),
              HasSubstr("it is no Node"));
}

TEST(NodeJsonTest, TakesWhatIsOfAnotherTypeForAbsent) {
  const auto node = NodeFromJson(R"({"apiVersion": "vfio-doorbell/ctl/v1", "kind": "Node",
    "daemon": 1, "pool": [], "devices": [1, {"id": 2, "group": "x", "window": {"base": 1}}],
    "leftovers": {}, "occurrences": [[]]})");
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ(node->daemon, std::nullopt);
  ASSERT_EQ(node->devices.size(), 2U);
  EXPECT_EQ(node->devices[1].window, core::Window());
}

}  // namespace
}  // namespace dp::ctl
