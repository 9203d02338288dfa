// SPDX-License-Identifier: Apache-2.0
#include "plugin/yaml/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace dp::yaml {
namespace {

constexpr std::size_t kDepth = 16;

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(ParseTest, KeepsTheTextOfScalarsAndTheLinesOfAll) {
  Element root;
  ASSERT_EQ(Parse("a: 0010\nb:\n  - \"1e10\"\n  - no\nc:\n", kDepth, root), std::nullopt);
  ASSERT_EQ(root.kind, Element::Kind::kMapping);
  ASSERT_THAT(root.entries, SizeIs(3));
  EXPECT_EQ(root.Find("a")->text, "0010");
  EXPECT_EQ(root.Find("a")->line, 1);
  const Element& list = *root.Find("b");
  ASSERT_EQ(list.kind, Element::Kind::kList);
  ASSERT_THAT(list.items, SizeIs(2));
  EXPECT_EQ(list.items[0].text, "1e10");
  EXPECT_EQ(list.items[1].text, "no");
  EXPECT_EQ(list.items[1].line, 4);
  EXPECT_EQ(root.entries[1].line, 2);
  EXPECT_EQ(root.Find("c")->kind, Element::Kind::kNull);
  EXPECT_EQ(root.Find("d"), nullptr);
}

TEST(ParseTest, NoDocumentIsNull) {
  for (const std::string_view text : {"", "\n", "# nothing\n", "---\n", "\xef\xbb\xbf"}) {
    Element root;
    EXPECT_EQ(Parse(text, kDepth, root), std::nullopt) << text;
    EXPECT_EQ(root.kind, Element::Kind::kNull) << text;
  }
}

struct HostileCase {
  const char* name;
  std::string_view repeated;
};

class HostileYamlTest : public testing::TestWithParam<HostileCase> {};

// One mebibyte of what parsers choke on: depth, aliases, unfinished things. It must end, soon, and
// without a crash; that a text is refused is the usual outcome, not the requirement.
TEST_P(HostileYamlTest, IsAnsweredInTime) {
  std::string text;
  while (text.size() < (1 << 20)) text += GetParam().repeated;
  Element root;
  const auto start = std::chrono::steady_clock::now();
  const auto error = Parse(text, kDepth, root);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  EXPECT_TRUE(!error || !error->reason.empty());
}

INSTANTIATE_TEST_SUITE_P(
    OneMebibyte, HostileYamlTest,
    testing::Values(HostileCase{"FlowLists", "["}, HostileCase{"FlowMappings", "{"},
                    HostileCase{"FlowKeys", "{a: "}, HostileCase{"BlockLists", "- "},
                    HostileCase{"ComplexKeys", "? "}, HostileCase{"Anchors", "&a "},
                    HostileCase{"Aliases", "- *a\n"}, HostileCase{"Tags", "!"},
                    HostileCase{"OpenQuote", "\"a"}, HostileCase{"Escapes", "\"\\x"},
                    HostileCase{"Spaces", " "}, HostileCase{"Tabs", "\t"},
                    HostileCase{"Comments", "#"}, HostileCase{"Colons", ":"},
                    HostileCase{"Documents", "---\n"}, HostileCase{"Directives", "%YAML 1.2\n"},
                    HostileCase{"Zeros", std::string_view("\0", 1)}, HostileCase{"NoUtf8", "\xff"},
                    HostileCase{"Utf16", "\xff\xfe"}, HostileCase{"BlockScalars", "|\n"},
                    HostileCase{"SameKeys", "a: b\n"}, HostileCase{"Closers", "]"}),
    [](const auto& test) { return test.param.name; });

TEST(ParseTest, IsAsDeepAsTheCallerAllows) {
  Element root;
  EXPECT_EQ(Parse("[[[x]]]", 3, root), std::nullopt);
  const auto error = Parse("\n[[[x]]]", 2, root);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->line, 2);
  EXPECT_EQ(error->reason, "is nested more than 2 levels deep");
}

TEST(ParseTest, TakesJson) {
  Element root;
  ASSERT_EQ(Parse("{\n\t\"a\":{\"b\":[1e9,\"\\u00e9\\/\"]},\n\t\"c\": null}", kDepth, root),
            std::nullopt);
  const Element& list = *root.Find("a")->Find("b");
  ASSERT_THAT(list.items, SizeIs(2));
  EXPECT_EQ(list.items[0].text, "1e9");
  EXPECT_EQ(list.items[1].text, "\xc3\xa9/");
  EXPECT_EQ(root.Find("c")->kind, Element::Kind::kNull);
  EXPECT_EQ(root.Find("c")->line, 3);
}

TEST(ParseTest, NestedAliasesAreRefusedBeforeTheyGrow) {
  std::string text = "a0: &a0 [x]\n";
  for (int i = 1; i < 40; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) +
            ", *a" + std::to_string(i - 1) + "]\n";
  }
  Element root;
  const auto error = Parse(text, kDepth, root);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->line, 1);
  EXPECT_EQ(error->path, "a0");
  EXPECT_THAT(error->reason, HasSubstr("anchor"));
}

}  // namespace
}  // namespace dp::yaml
