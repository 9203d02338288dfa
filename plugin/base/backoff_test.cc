// SPDX-License-Identifier: Apache-2.0
#include "plugin/base/backoff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <vector>

namespace dp::base {
namespace {

using std::chrono::milliseconds;

TEST(BackoffTest, DoublesUpToItsLongest) {
  Backoff backoff(milliseconds(1000), milliseconds(5000));
  std::vector<int> delays(5);
  for (int& delay : delays) delay = static_cast<int>(backoff.Next().count());
  EXPECT_THAT(delays, ::testing::ElementsAre(1000, 2000, 4000, 5000, 5000));
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), milliseconds(1000));
}

}  // namespace
}  // namespace dp::base
