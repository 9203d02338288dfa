// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/words.h"

#include <gtest/gtest.h>

#include <string>

namespace dp::status {
namespace {

TEST(WordsTest, WritesReasonsAsKubernetesDoes) {
  EXPECT_EQ(CamelCase("group_busy"), "GroupBusy");
  EXPECT_EQ(CamelCase("no-such  word2"), "NoSuchWord2");
  EXPECT_EQ(CamelCase("GroupBusy"), "GroupBusy");
  EXPECT_EQ(CamelCase(""), "Unknown");
  EXPECT_EQ(CamelCase("2_late"), "Unknown");
  EXPECT_EQ(CamelCase("\xff\n_"), "Unknown");
  EXPECT_EQ(CamelCase(std::string(1000, 'a')).size(), 128U);
}

TEST(WordsTest, BoundsATextToOneLine) {
  EXPECT_EQ(Bounded("as it is", 8), "as it is");
  EXPECT_EQ(Bounded("too long!", 8), "too l...");
  EXPECT_EQ(Bounded("a\nb\xc3\xa4", 10), "a?b??");
  EXPECT_EQ(Bounded("abcd", 2), "...");
}

TEST(WordsTest, KnowsWhatCanBePartOfAPath) {
  for (const char* name : {"a", "node-1.example", "0"}) EXPECT_TRUE(IsName(name)) << name;
  for (const char* name : {"", "-a", "a-", ".", "..", "a/b", "A", "a b", "a?b", "a%2f"}) {
    EXPECT_FALSE(IsName(name)) << name;
  }
  EXPECT_TRUE(IsName(std::string(253, 'a')));
  EXPECT_FALSE(IsName(std::string(254, 'a')));
}

TEST(WordsTest, WritesAWindowAsTheKernelDoes) {
  EXPECT_EQ(WindowText({.base = 0x9100000, .size = 0x100000}), "0x09100000 0x00100000");
}

}  // namespace
}  // namespace dp::status
