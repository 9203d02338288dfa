// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/rescan_pacer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/fakes/fake_timers.h"

namespace dp::core {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;

TEST(MayChangeOffersTest, NamesWhatAGroupAndItsNodesDependOn) {
  for (const char* subsystem : {"pci", "platform", "vfio", "vfio-dev", "iommu"}) {
    EXPECT_TRUE(MayChangeOffers(subsystem)) << subsystem;
  }
  for (const char* subsystem : {"", "mem", "net", "block", "usb", "pci_bus", "PCI", "vfio-"}) {
    EXPECT_FALSE(MayChangeOffers(subsystem)) << subsystem;
  }
}

class RescanPacerTest : public ::testing::Test {
 protected:
  RescanPacerTest() {
    pacer_.Start();
    start_ = timers_.Now();
  }

  [[nodiscard]] std::chrono::milliseconds Now() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(timers_.Now() - start_ + worked_);
  }
  // A request each millisecond.
  void Storm(std::chrono::milliseconds duration) {
    for (auto passed = 0ms; passed < duration; passed += 1ms) {
      pacer_.Request();
      timers_.Advance(1ms);
    }
  }
  [[nodiscard]] std::vector<std::chrono::milliseconds> PausesBetweenScans() const {
    std::vector<std::chrono::milliseconds> pauses;
    for (std::size_t i = 1; i < scans_.size(); ++i) {
      pauses.push_back(scans_[i] - scans_[i - 1] - scan_takes_);
    }
    return pauses;
  }

  fakes::FakeTimers timers_;
  std::chrono::milliseconds scan_takes_{0};
  std::chrono::milliseconds worked_{0};           // in scans so far, while no timer runs
  std::vector<std::chrono::milliseconds> scans_;  // when they began
  std::chrono::steady_clock::time_point start_;
  RescanPacer pacer_{timers_, [this] { return timers_.Now() + worked_; }, RescanPacer::Pace{},
                     [this] {
                       scans_.push_back(Now());
                       worked_ += scan_takes_;
                     }};
};

TEST_F(RescanPacerTest, AnswersAnEventSoonAndABurstOnce) {
  timers_.Advance(1s);
  pacer_.Request();
  timers_.Advance(5ms);
  pacer_.Request();
  timers_.Advance(1s);
  EXPECT_THAT(scans_, ElementsAre(1010ms));
}

TEST_F(RescanPacerTest, MissesNothingThatComesAfterTheScan) {
  pacer_.Request();
  timers_.Advance(11ms);
  pacer_.Request();
  timers_.Advance(1s);
  EXPECT_THAT(scans_, ElementsAre(10ms, 35ms));
}

TEST_F(RescanPacerTest, ServesTheMoreUrgentRequest) {
  pacer_.RequestAfter(50ms);
  pacer_.Request();
  pacer_.RequestAfter(50ms);
  timers_.Advance(1s);
  EXPECT_THAT(scans_, ElementsAre(10ms));
}

TEST_F(RescanPacerTest, ScansNowAndThenInAStorm) {
  Storm(1000ms);
  EXPECT_THAT(PausesBetweenScans(), AllOf(SizeIs(39), Each(25ms)));
}

TEST_F(RescanPacerTest, LeavesMostOfTheTimeToOthersHoweverLongAScanTakes) {
  scan_takes_ = 60ms;  // a host with 4,096 groups
  Storm(6000ms);
  EXPECT_THAT(PausesBetweenScans(), Each(300ms));
  EXPECT_LE(scan_takes_ * static_cast<int>(scans_.size()), Now() / 6);
}

TEST_F(RescanPacerTest, AnswersWithin50MillisecondsWhateverWasScannedBefore) {
  scan_takes_ = 5ms;  // a host with 256 groups
  pacer_.Request();
  timers_.Advance(10ms);
  for (std::size_t i = 1; i < 10; ++i) {
    const auto event = Now();
    ASSERT_EQ(scans_.size(), i);
    pacer_.Request();
    timers_.Advance(25ms);
    ASSERT_EQ(scans_.size(), i + 1);
    EXPECT_LE(scans_.back() + scan_takes_ - event, 50ms);
  }
}

TEST_F(RescanPacerTest, LooksOnceInAWhileWithoutBeingAsked) {
  timers_.Advance(180s);
  EXPECT_THAT(scans_, ElementsAre(60s, 120s, 180s));
}

TEST_F(RescanPacerTest, CountsFromTheLastScan) {
  timers_.Advance(50s);
  pacer_.Request();
  timers_.Advance(59s);
  EXPECT_THAT(scans_, ElementsAre(50010ms));
  timers_.Advance(61s);
  EXPECT_THAT(scans_, ElementsAre(50010ms, 110010ms));
}

TEST_F(RescanPacerTest, StopsForGood) {
  pacer_.Request();
  pacer_.Stop();
  pacer_.Request();
  timers_.Advance(300s);
  EXPECT_THAT(scans_, IsEmpty());
  EXPECT_TRUE(timers_.idle());
}

TEST(RescanPacerStartTest, DoesNothingBeforeItsStart) {
  fakes::FakeTimers timers;
  RescanPacer pacer(
      timers, [&] { return timers.Now(); }, {}, [] { ADD_FAILURE() << "a scan"; });
  pacer.Request();
  timers.Advance(300s);
}

}  // namespace
}  // namespace dp::core
