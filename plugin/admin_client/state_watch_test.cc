// SPDX-License-Identifier: Apache-2.0
#include "plugin/admin_client/state_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "plugin/base/log.h"
#include "plugin/os/event_loop.h"
#include "tests/fakes/fake_admin.h"

namespace dp::admin_client {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

class Notes final : public StateObserver {
 public:
  void OnState(const v1::NodeState& state) override {
    taken.push_back("state " + std::to_string(state.revision()));
  }
  void OnLost(const absl::Status& why) override {
    taken.push_back("lost: " + std::string(why.message()));
  }
  std::vector<std::string> taken;
};

v1::NodeState StateWith(std::uint64_t revision) {
  v1::NodeState state;
  state.set_revision(revision);
  return state;
}

class StateWatchTest : public ::testing::Test {
 protected:
  StateWatchTest() {
    log::Configure(log::Level::kOff, log::Format::kText);
    watch_.Add(notes_);
    watch_.Start();
  }
  ~StateWatchTest() override { log::Configure(log::Level::kInfo, log::Format::kText); }

  // Turns the loop until there have been as many attempts.
  void RunUntilStreams(std::size_t count) {
    admin_.opened = [&] {
      if (admin_.streams.size() >= count) loop_->Stop();
    };
    loop_->Run();
  }

  std::unique_ptr<os::EventLoop> loop_ = os::EventLoop::Create().value();
  fakes::FakeAdmin admin_;
  Notes notes_;
  StateWatch watch_{*loop_,
                    admin_,
                    {.first_retry = milliseconds(1),
                     .longest_retry = milliseconds(4),
                     .first_state = milliseconds(1000)}};
};

TEST_F(StateWatchTest, TellsEachStateAndOneLoss) {
  admin_.streams[0].changed(StateWith(1));
  admin_.streams[0].changed(StateWith(2));
  EXPECT_TRUE(watch_.counters().connected);
  admin_.streams[0].ended(absl::UnavailableError("it died"));
  EXPECT_FALSE(watch_.counters().connected);
  EXPECT_THAT(notes_.taken, ElementsAre("state 1", "state 2", "lost: it died"));
}

TEST_F(StateWatchTest, TriesAgainAndSaysOnceThatNobodyIsThere) {
  admin_.opened = [&] {
    if (admin_.streams.size() < 5) {
      admin_.streams.back().ended(absl::NotFoundError("no socket"));
    } else {
      loop_->Stop();
    }
  };
  admin_.streams[0].ended(absl::NotFoundError("no socket"));
  loop_->Run();
  EXPECT_THAT(notes_.taken, ElementsAre("lost: no socket"));
  EXPECT_EQ(watch_.counters().losses, 0);
  admin_.streams.back().changed(StateWith(9));
  EXPECT_THAT(notes_.taken, ElementsAre("lost: no socket", "state 9"));
  EXPECT_EQ(watch_.counters().connects, 1);
}

TEST_F(StateWatchTest, CountsEachConnectionThatBroughtAState) {
  admin_.streams[0].changed(StateWith(5));
  admin_.streams[0].ended(absl::UnavailableError("it died"));
  RunUntilStreams(2);
  admin_.streams[1].changed(StateWith(1));
  EXPECT_EQ(watch_.counters().connects, 2);
  EXPECT_EQ(watch_.counters().losses, 1);
  EXPECT_THAT(notes_.taken, ElementsAre("state 5", "lost: it died", "state 1"));
}

TEST_F(StateWatchTest, TellsNothingOnceItHasStopped) {
  watch_.Stop();
  admin_.streams[0].changed(StateWith(1));
  admin_.streams[0].ended(absl::UnavailableError("this program ends"));
  EXPECT_THAT(notes_.taken, ElementsAre());
}

}  // namespace
}  // namespace dp::admin_client
