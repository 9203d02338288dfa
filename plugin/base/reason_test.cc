// SPDX-License-Identifier: Apache-2.0
#include "plugin/base/reason.h"

#include <gtest/gtest.h>

#include <cctype>
#include <set>
#include <string_view>

namespace dp::base {
namespace {

TEST(ReasonTest, EachHasAWordOfItsOwn) {
  std::set<std::string_view> words;
  for (std::size_t i = 0; i < kReasons; ++i) {
    const std::string_view word = WordOf(static_cast<Reason>(i));
    EXPECT_TRUE(words.insert(word).second) << word;
    for (const char c : word) EXPECT_TRUE(std::islower(c) != 0 || c == '_') << word;
  }
  EXPECT_EQ(WordOf(Reason::kNoDriver), "no_driver");
  EXPECT_EQ(WordOf(Reason::kDriversUnreadable), "drivers_unreadable");
}

TEST(ReasonTest, IsSpeltAsKubernetesSpellsReasons) {
  EXPECT_EQ(CamelCaseOf(Reason::kGroupBusy), "GroupBusy");
  EXPECT_EQ(CamelCaseOf(Reason::kNoWindowFree), "NoWindowFree");
}

TEST(ReasonTest, TravelsWithAStatus) {
  const absl::Status busy = Because(Reason::kGroupBusy, absl::UnavailableError("group 7 is busy"));
  EXPECT_EQ(ReasonOf(busy), Reason::kGroupBusy);
  EXPECT_EQ(ReasonOf(Because(Reason::kWindowNotSet, busy)), Reason::kGroupBusy);
  EXPECT_EQ(ReasonOf(absl::UnavailableError("group 7 is busy")), std::nullopt);
  EXPECT_TRUE(Because(Reason::kGroupBusy, absl::OkStatus()).ok());
}

}  // namespace
}  // namespace dp::base
