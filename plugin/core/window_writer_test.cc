// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/window_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_msi_window_knob.h"
#include "tests/fakes/fake_timers.h"

namespace dp::core {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

constexpr Window kNew{.base = 0x09000000, .size = 0x100000};
constexpr Window kOlder{.base = 0x09500000, .size = 0x100000};

class WindowWriterTest : public ::testing::Test {
 protected:
  WindowWriterTest() {
    for (std::uint32_t group : {7U, 8U, 9U}) {
      host_.AddGroup(
          fakes::GroupOf(group, {fakes::NvmeFunction("0000:0" + std::to_string(group) + ":00.0")}));
    }
    host_.Find(8)->window = kOlder;
  }

  void Write() {
    writer_.Write({7, 8, 9}, kNew, WindowWriter::OnBusy::kWait,
                  [this](WindowWriter::Outcome outcome) {
                    ASSERT_FALSE(outcome_.has_value());
                    outcome_ = std::move(outcome);
                  });
  }
  void ExpectUntouched() {
    EXPECT_EQ(knob_.WindowOf(7), kFixedWindow);
    EXPECT_EQ(knob_.WindowOf(8), kOlder);
    EXPECT_EQ(knob_.WindowOf(9), kFixedWindow);
  }

  fakes::FakeHost host_;
  fakes::FakeMsiWindowKnob knob_{host_};
  fakes::FakeTimers timers_;
  WindowWriter writer_{knob_, timers_, {.total = 5s, .first_pause = 5ms, .longest_pause = 250ms}};
  std::optional<WindowWriter::Outcome> outcome_;
};

TEST_F(WindowWriterTest, WritesAllGroupsAndRemembersWhatTheyHad) {
  Write();
  ASSERT_TRUE(outcome_ && outcome_->status.ok());
  for (std::uint32_t group : {7U, 8U, 9U}) EXPECT_EQ(knob_.WindowOf(group), kNew);
  EXPECT_THAT(writer_.PutBack(outcome_->written), IsEmpty());
  ExpectUntouched();
  // The fixed window goes back as "default", another one as itself.
  EXPECT_THAT(knob_.writes, ElementsAre("7: 0x09000000 0x00100000", "8: 0x09000000 0x00100000",
                                        "9: 0x09000000 0x00100000", "7: default",
                                        "8: 0x09500000 0x00100000", "9: default"));
}

TEST_F(WindowWriterTest, PutsTheEarlierGroupsBackWhenOneRefuses) {
  knob_.errors[9] = absl::OutOfRangeError("group 9 says no");
  Write();
  ASSERT_TRUE(outcome_.has_value());
  EXPECT_EQ(outcome_->status, absl::OutOfRangeError("group 9 says no"));
  EXPECT_THAT(outcome_->written, IsEmpty());
  EXPECT_TRUE(timers_.idle());
  ExpectUntouched();
}

TEST_F(WindowWriterTest, DoesNotTrustAWrite) {
  knob_.deaf = {8};
  Write();
  ASSERT_TRUE(outcome_.has_value());
  EXPECT_EQ(outcome_->status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(outcome_->status.message()),
              HasSubstr("IOMMU group 8 has the window 0x09500000 0x00100000 after 0x09000000"));
  ExpectUntouched();
}

TEST_F(WindowWriterTest, WaitsForABusyGroup) {
  knob_.busy = {8};
  Write();
  timers_.Advance(4s);
  EXPECT_FALSE(outcome_.has_value());
  knob_.busy = {};
  timers_.Advance(250ms);
  ASSERT_TRUE(outcome_ && outcome_->status.ok());
  EXPECT_TRUE(timers_.idle());
}

TEST_F(WindowWriterTest, GivesUpWhenItsPatienceEnds) {
  knob_.busy = {8};
  Write();
  timers_.Advance(4999ms);
  EXPECT_FALSE(outcome_.has_value());
  timers_.Advance(1ms);
  ASSERT_TRUE(outcome_.has_value());
  EXPECT_EQ(outcome_->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(timers_.idle());
  ExpectUntouched();
}

TEST_F(WindowWriterTest, SaysWhichGroupCouldNotBePutBack) {
  knob_.busy = {8};
  Write();
  knob_.busy = {7, 8};  // a VMM has taken group 7 meanwhile
  writer_.Abandon("no more");
  ASSERT_TRUE(outcome_.has_value());
  EXPECT_EQ(outcome_->status, absl::UnavailableError("no more"));
  ASSERT_EQ(outcome_->written.size(), 1U);
  EXPECT_EQ(outcome_->written[0].group, 7U);
  EXPECT_EQ(knob_.WindowOf(7), kNew);
  timers_.Advance(10s);  // the abandoned one does not come back
}

TEST_F(WindowWriterTest, ForgetsAGroupThatIsGone) {
  knob_.busy = {8};
  Write();
  host_.RemoveGroup(7);
  writer_.Abandon("no more");
  EXPECT_THAT(outcome_->written, IsEmpty());
}

}  // namespace
}  // namespace dp::core
