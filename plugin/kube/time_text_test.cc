// SPDX-License-Identifier: Apache-2.0
#include "plugin/kube/time_text.h"

#include <gtest/gtest.h>

#include <chrono>

namespace dp::kube {
namespace {

using std::chrono::microseconds;
using std::chrono::system_clock;

TEST(TimeTextTest, IsWhatKubernetesReads) {
  const system_clock::time_point time{microseconds(1795694400000042)};
  EXPECT_EQ(MicroTimeText(time), "2026-11-26T12:00:00.000042Z");
  EXPECT_EQ(TimeText(time), "2026-11-26T12:00:00Z");
}

TEST(TimeTextTest, IsRightBeforeTheEpochToo) {
  EXPECT_EQ(MicroTimeText(system_clock::time_point{microseconds(-1)}),
            "1969-12-31T23:59:59.999999Z");
}

}  // namespace
}  // namespace dp::kube
