// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/recovery_delay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/fakes/fake_timers.h"

namespace dp::core {

void PrintTo(const Offer& offer, std::ostream* out) {
  *out << offer.id << " (" << offer.unhealthy_reason << ")";
}

namespace {

using ::testing::ElementsAre;
using namespace std::chrono_literals;

Offer Device(int slot, std::string unhealthy_reason = "") {
  const std::string id = "0000:0" + std::to_string(slot) + ":00.0";
  return {.id = id,
          .function = id,
          .group = static_cast<std::uint32_t>(slot),
          .numa_node = std::nullopt,
          .unhealthy_reason = std::move(unhealthy_reason)};
}

class RecoveryDelayTest : public ::testing::Test {
 protected:
  // As a broker: what is found now, and what is told of it from now on.
  void Find(std::vector<Offer> found) {
    found_ = std::move(found);
    std::vector<Offer> next = delay_.Apply(told_, found_);
    if (next != told_) ++lists_;
    told_ = std::move(next);
  }

  fakes::FakeTimers timers_;
  std::vector<Offer> found_;
  std::vector<Offer> told_;
  int settled_calls_ = 0;
  int lists_ = 0;
  RecoveryDelay delay_{timers_, [this] {
                         ++settled_calls_;
                         Find(found_);
                       }};
};

TEST_F(RecoveryDelayTest, TellsBadNewsAtOnceAndGoodNewsWhenItHasSettled) {
  Find({Device(1), Device(2)});
  Find({Device(1, "no driver"), Device(2)});
  EXPECT_THAT(told_, ElementsAre(Device(1, "no driver"), Device(2)));
  Find({Device(1), Device(2)});
  timers_.Advance(999ms);
  EXPECT_THAT(told_, ElementsAre(Device(1, "no driver"), Device(2)));
  timers_.Advance(1ms);
  EXPECT_THAT(told_, ElementsAre(Device(1), Device(2)));
  EXPECT_TRUE(timers_.idle());
}

TEST_F(RecoveryDelayTest, TellsWhatIsNewOrGoneAtOnce) {
  Find({Device(1, "no driver")});
  Find({Device(2), Device(3, "no driver")});
  EXPECT_THAT(told_, ElementsAre(Device(2), Device(3, "no driver")));
  EXPECT_TRUE(timers_.idle());
}

TEST_F(RecoveryDelayTest, StartsAnewWhenADeviceFallsIllAgain) {
  Find({Device(1, "no driver")});
  Find({Device(1)});
  timers_.Advance(900ms);
  Find({Device(1, "the wrong driver")});
  EXPECT_THAT(told_, ElementsAre(Device(1, "the wrong driver")));
  timers_.Advance(50ms);
  Find({Device(1)});
  timers_.Advance(999ms);
  EXPECT_THAT(told_, ElementsAre(Device(1, "the wrong driver")));
  EXPECT_EQ(settled_calls_, 0) << "nobody has been well for a second";
  timers_.Advance(1ms);
  EXPECT_THAT(told_, ElementsAre(Device(1)));
}

TEST_F(RecoveryDelayTest, DoesNotMistakeAReturnedDeviceForARecoveringOne) {
  Find({Device(1, "no driver")});
  Find({Device(1)});
  Find({});
  Find({Device(1)});
  EXPECT_THAT(told_, ElementsAre(Device(1)));
  timers_.Advance(1s);
  EXPECT_EQ(settled_calls_, 0);
}

TEST_F(RecoveryDelayTest, KeepsTheRestOfAHeldOfferUpToDate) {
  Find({Device(1, "no driver")});
  Offer moved = Device(1);
  moved.group = 17;
  Find({moved});
  EXPECT_EQ(told_[0].group, 17U);
  EXPECT_EQ(told_[0].unhealthy_reason, "no driver");
}

TEST_F(RecoveryDelayTest, AsksForOneLookForAllThatRecoveredTogether) {
  Find({Device(1, "x"), Device(2, "x"), Device(3, "x")});
  Find({Device(1), Device(2), Device(3, "x")});
  timers_.Advance(500ms);
  Find({Device(1), Device(2), Device(3)});
  timers_.Advance(500ms);
  EXPECT_EQ(settled_calls_, 1);
  EXPECT_THAT(told_, ElementsAre(Device(1), Device(2), Device(3, "x")));
  timers_.Advance(500ms);
  EXPECT_EQ(settled_calls_, 2);
  EXPECT_THAT(told_, ElementsAre(Device(1), Device(2), Device(3)));
}

TEST_F(RecoveryDelayTest, TellsNothingIfTheLookAfterwardsFindsItIll) {
  Find({Device(1, "x")});
  Find({Device(1)});
  found_ = {Device(1, "x")};
  lists_ = 0;
  timers_.Advance(2s);
  EXPECT_EQ(settled_calls_, 1);
  EXPECT_EQ(lists_, 0);
  EXPECT_THAT(told_, ElementsAre(Device(1, "x")));
}

TEST_F(RecoveryDelayTest, ForgetsWhatSomebodyElseTold) {
  Find({Device(1, "x")});
  Find({Device(1)});
  told_ = {Device(1)};  // the kubelet asked for it, and it was found healthy
  Find({Device(1)});
  timers_.Advance(2s);
  EXPECT_EQ(settled_calls_, 0);
}

TEST_F(RecoveryDelayTest, KeepsChurnFromTheKubelet) {
  Find({Device(1)});
  lists_ = 0;
  for (int i = 0; i < 100; ++i) {
    Find({Device(1, "no driver")});
    timers_.Advance(50ms);
    Find({Device(1)});
    timers_.Advance(50ms);
  }
  EXPECT_EQ(lists_, 1);
  timers_.Advance(1s);
  EXPECT_EQ(lists_, 2);
  EXPECT_THAT(told_, ElementsAre(Device(1)));
}

TEST_F(RecoveryDelayTest, KeepsTwoResourcesApart) {
  const std::vector<Offer> other = {Device(5, "x")};
  EXPECT_EQ(delay_.Apply(other, {Device(5)}), other);
  Find({Device(1)});
  timers_.Advance(1s);
  EXPECT_THAT(delay_.Apply(other, {Device(5)}), ElementsAre(Device(5)));
}

}  // namespace
}  // namespace dp::core
