// SPDX-License-Identifier: Apache-2.0
#include "plugin/yaml/write.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "plugin/yaml/document.h"

namespace dp::yaml {
namespace {

TEST(WriteTest, QuotesTextsAndNothingElse) {
  EXPECT_EQ(
      Write(
          {{"a", "no"}, {"b", nullptr}, {"c", {1, true}}, {"d", nlohmann::ordered_json::array()}}),
      "a: \"no\"\nb: null\nc:\n  - 1\n  - true\nd: []\n");
}

TEST(WriteTest, KeepsEveryText) {
  for (const std::string text : {"", "0010", "a: b", "\"\\", "line\nbreak", "\x1b[31m", "# no"}) {
    Element root;
    ASSERT_EQ(Parse(Write({{"key", text}}), 2, root), std::nullopt) << text;
    EXPECT_EQ(root.Find("key")->text, text);
  }
}

}  // namespace
}  // namespace dp::yaml
