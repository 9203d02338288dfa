// SPDX-License-Identifier: Apache-2.0
#include "plugin/base/excerpt.h"

#include <gtest/gtest.h>

#include <string>

namespace dp::base {
namespace {

TEST(ExcerptTest, IsTheTextIfItCanBeShown) {
  EXPECT_EQ(Excerpt(""), "");
  EXPECT_EQ(Excerpt("0x9000000 ~"), "0x9000000 ~");
  EXPECT_EQ(Excerpt(std::string(40, 'a')), std::string(40, 'a'));
}

TEST(ExcerptTest, IsOneLineOfAsciiWhateverTheBytes) {
  EXPECT_EQ(Excerpt({"a\n\x1b\x7f\0\xc3", 6}), "a?????");
}

TEST(ExcerptTest, SaysThatThereIsMore) {
  EXPECT_EQ(Excerpt(std::string(41, 'a')), std::string(40, 'a') + "...");
}

}  // namespace
}  // namespace dp::base
