// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/statistics.h"

#include <gtest/gtest.h>

#include "plugin/base/reason.h"

namespace dp::core {
namespace {

using namespace std::chrono_literals;

TEST(HistogramTest, CountsEachDurationInOneBucket) {
  Histogram histogram;
  histogram.Add(50us);
  histogram.Add(51us);
  histogram.Add(1s);
  histogram.Add(1min);
  EXPECT_EQ(histogram.count_of(0), 1U);
  EXPECT_EQ(histogram.count_of(1), 1U);
  EXPECT_EQ(histogram.count_of(Histogram::kBounds.size() - 2), 1U);
  EXPECT_EQ(histogram.count_of(Histogram::kBounds.size() - 1), 0U);
  EXPECT_EQ(histogram.count(), 4U);
  EXPECT_NEAR(histogram.sum(), 61.000101, 1e-9);
}

TEST(ResultOfTest, IsOkOrTheReason) {
  EXPECT_EQ(ResultOf(absl::OkStatus()), "ok");
  EXPECT_EQ(ResultOf(Because(base::Reason::kGroupBusy, absl::UnavailableError("held"))),
            "group_busy");
  EXPECT_EQ(ResultOf(absl::InvalidArgumentError("what?")), "bad_request");
}

}  // namespace
}  // namespace dp::core
