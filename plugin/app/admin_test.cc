// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/admin.h"

#include <gtest/gtest.h>

#include <string>

namespace dp::app {
namespace {

TEST(AdminTest, MakesASentenceOfARecord) {
  const core::Occurrence busy =
      Admin::OccurrenceOf(log::Level::kWarning, "window still held",
                          {{"reason", base::Reason::kGroupBusy},
                           {"device", "0000:01:00.0"},
                           {"group", 7},
                           {"pod", "default/vm"},
                           {"error", absl::UnavailableError("it is in use")}},
                          42);
  EXPECT_EQ(busy.message, "window still held, group 7: it is in use");
  EXPECT_EQ(busy.reason, base::Reason::kGroupBusy);
  EXPECT_EQ(busy.device, "0000:01:00.0");
  EXPECT_EQ(busy.pod, (core::PodName{"default", "vm"}));
  EXPECT_EQ(busy.time_ms, 42);
  EXPECT_TRUE(busy.warning);
}

TEST(AdminTest, KnowsNoPodOfThatName) {
  const core::Occurrence ended = Admin::OccurrenceOf(
      log::Level::kInfo, "reservation ended",
      {{"device", "0000:01:00.0"}, {"pod", "unknown"}, {"reason", base::Reason::kPodGone}}, 1);
  EXPECT_FALSE(ended.pod.has_value());
  EXPECT_FALSE(ended.warning);
  EXPECT_EQ(ended.message, "reservation ended");
}

}  // namespace
}  // namespace dp::app
