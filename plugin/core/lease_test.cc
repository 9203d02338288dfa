// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/lease_world.h"

// When a window goes back.

namespace dp::core {
namespace {

using fakes::At, fakes::kNic, fakes::kNvme, fakes::Nic, fakes::Nvme;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;

using LeaseTest = fakes::LeaseWorld;

TEST_F(LeaseTest, FreesAWindowWithinHalfAMinuteOfItsPod) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  knob_.busy = {1, 11};
  timers_.Advance(10min);
  EXPECT_EQ(knob_.WindowOf(1), At(0)) << "the pod is there";
  pods_.Remove("vm");
  knob_.busy = {};
  timers_.Advance(10s);
  EXPECT_EQ(knob_.WindowOf(1), At(0)) << "the grace time is not over";
  timers_.Advance(19s);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  EXPECT_EQ(knob_.WindowOf(11), kFixedWindow);
  EXPECT_THAT(ledger(), IsEmpty());
  EXPECT_THAT(settings_.settings, IsEmpty());
}

TEST_F(LeaseTest, IsIdleWhenNothingIsReserved) {
  Start();
  EXPECT_TRUE(timers_.idle());
  AdmitVm();
  EXPECT_FALSE(timers_.idle());
  pods_.Remove("vm");
  timers_.Advance(1min);
  EXPECT_TRUE(timers_.idle());
}

TEST_F(LeaseTest, EndsNothingOfWhatAnAllocationMayPutBack) {
  Start();
  Allocate(kNvme, {Nvme(1)});
  Allocate(kNvme, {Nvme(2)});
  pods_.status = absl::OkStatus();
  knob_.busy = {2};
  timers_.Advance(18s);
  // It waits for the second group, and meanwhile the grace time of the former allocations ends.
  const auto answer = world_.Ask(kNvme, {Nvme(1), Nvme(2)});
  timers_.Advance(6s);
  ASSERT_TRUE(answer->has_value());
  EXPECT_FALSE((*answer)->ok());
  timers_.Advance(10s);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
}

TEST_F(LeaseTest, WaitsForTheVmmThatOutlivesItsPod) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  pods_.Remove("vm");
  knob_.busy = {1};
  timers_.Advance(1min);
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(11), kFixedWindow);
  ASSERT_EQ(ledger().size(), 1U);
  EXPECT_EQ(ledger()[0].pod, (PodName{"default", "vm"}));
  // As long as a group has it, nobody else gets it; not even when the kubelet has given another one
  // of the pod's devices to somebody else.
  Allocate(kNic, {Nic(1), Nic(2)});
  for (std::uint32_t number : {2U, 3U}) Allocate(kNvme, {Nvme(number)});
  const absl::Status status = world_.Allocate(kNic, {Nic(3)});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("device 0000:01:00.0, whose pod has gone"));
  knob_.busy = {};
  timers_.Advance(5s);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  Allocate(kNic, {Nic(3)});
  EXPECT_EQ(knob_.WindowOf(13), At(0));
}

TEST_F(LeaseTest, KeepsWhatAVmmHoldsForAPodThatTheKubeletForgets) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  const auto known = std::exchange(pods_.pods, {});
  knob_.busy = {1};
  timers_.Advance(10min);
  ASSERT_EQ(ledger().size(), 1U);
  EXPECT_EQ(ledger()[0].pod, (PodName{"default", "vm"}));
  EXPECT_EQ(ledger()[0].allocations.size(), 2U);
  EXPECT_THAT(settings_.settings, SizeIs(2));
  // What nobody holds has its window again when it is started.
  EXPECT_EQ(knob_.WindowOf(11), kFixedWindow);
  Check(kNic, {Nic(1)});
  EXPECT_EQ(knob_.WindowOf(11), At(0));
  pods_.pods = known;
  knob_.busy = {};
  timers_.Advance(10min);
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(11), At(0));
}

TEST_F(LeaseTest, DoesNotHandOutAWindowAgainOfWhichAVmmHasAPart) {
  Start();
  Allocate(kNvme, {Nvme(1), Nvme(2)});
  Allocate(kNvme, {Nvme(3)});
  for (std::uint32_t number : {1U, 2U}) Allocate(kNic, {Nic(number)});
  // The pool is dry, and the devices' former pod has the only window that one of them could get.
  knob_.busy = {2};
  EXPECT_EQ(world_.Allocate(kNvme, {Nvme(1)}).code(), absl::StatusCode::kResourceExhausted);
  knob_.busy = {};
  Allocate(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(2), kFixedWindow);
}

TEST_F(LeaseTest, EndsWhatWasAllocatedForAPodThatWasRejected) {
  Start();
  Allocate(kNvme, {Nvme(1)});
  pods_.status = absl::OkStatus();
  timers_.Advance(19s);
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  timers_.Advance(6s);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
}

TEST_F(LeaseTest, EndsNothingWhileTheKubeletIsSilent) {
  Start();
  AdmitVm();
  pods_.status = absl::UnavailableError("connection refused");
  timers_.Advance(24h);
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(ledger().size(), 2U);
}

TEST_F(LeaseTest, GivesAKubeletThatHasJustStartedTime) {
  Start();
  AdmitVm();
  timers_.Advance(1min);
  const auto known = std::exchange(pods_.pods, {});
  timers_.Advance(15s);
  world_.broker().KubeletStarted();
  timers_.Advance(19s);
  pods_.pods = known;
  timers_.Advance(1min);
  EXPECT_EQ(knob_.WindowOf(1), At(0));
}

TEST_F(LeaseTest, CountsAnAnswerAsOlderThanWhatWasDoneMeanwhile) {
  Start();
  AdmitVm();
  pods_.Remove("vm");
  timers_.Advance(5s);
  pods_.slow = true;
  timers_.Advance(15s);  // the question is under way
  Allocate(kNvme, {Nvme(1)});
  timers_.Advance(20s);
  pods_.slow = false;
  pods_.Answer();
  EXPECT_EQ(knob_.WindowOf(1), At(2));
}

class ReleaseTest : public fakes::LeaseWorld {
 protected:
  // Its code and text, or the devices.
  std::string Release(std::uint64_t base) {
    std::string answer = "no answer yet";
    world_.broker().Release(base, [&answer](const auto& devices) {
      answer = devices.ok() ? devices->front() : devices.status().ToString();
    });
    return answer;
  }
};

TEST_F(ReleaseTest, EndsWhatHasNoPodAtOnce) {
  Start();
  AdmitVm();
  pods_.Remove("vm");
  EXPECT_EQ(Release(At(0).base), Nvme(1));
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  EXPECT_EQ(ledger().size(), 1U) << "the other allocation has a window of its own";
}

TEST_F(ReleaseTest, EndsNothingOfALivingPod) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  EXPECT_THAT(Release(At(0).base), HasSubstr("FAILED_PRECONDITION: the window "));
  EXPECT_THAT(Release(At(0).base), HasSubstr("that of pod default/vm"));
  pods_.status = absl::UnavailableError("connection refused");
  EXPECT_THAT(Release(At(0).base), HasSubstr("connection refused"));
  pods_.status = absl::OkStatus();
  pods_.Remove("vm");
  knob_.busy = {1};
  EXPECT_THAT(Release(At(0).base), HasSubstr("UNAVAILABLE: a VMM holds"));
  EXPECT_THAT(ledger(), SizeIs(1));
  EXPECT_EQ(knob_.WindowOf(1), At(0));
}

TEST_F(ReleaseTest, SaysThatNobodyHasTheWindow) {
  Start();
  pods_.status = absl::OkStatus();
  EXPECT_THAT(Release(At(1).base), HasSubstr("NOT_FOUND: no reservation has a window at 0x09"));
}

}  // namespace
}  // namespace dp::core
