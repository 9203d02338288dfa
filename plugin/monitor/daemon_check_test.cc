// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor/daemon_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "tests/fakes/fake_admin.h"

namespace dp::monitor {
namespace {

namespace v1 = admin_client::v1;
using std::chrono::hours;
using std::chrono::milliseconds;
using ::testing::SizeIs;

class DaemonCheckTest : public ::testing::Test {
 protected:
  DaemonCheck::Done Note() {
    return [this](const DaemonCheck::Health& health) { seen_.push_back(health); };
  }

  fakes::FakeAdmin admin_;
  std::vector<DaemonCheck::Health> seen_;
};

TEST_F(DaemonCheckTest, AsksOnceForAllWhoWait) {
  DaemonCheck check(admin_, {.deadline = hours(1), .fresh = hours(1)});
  check.Ask(Note());
  check.Ask(Note());
  EXPECT_EQ(admin_.state_calls, 1);
  EXPECT_FALSE(check.has_answered());
  v1::NodeState state;
  state.add_resources()->set_name("a.example/a");
  admin_.states[0](state);
  ASSERT_THAT(seen_, SizeIs(2));
  for (const auto& health : seen_) {
    EXPECT_TRUE(health.answers.ok());
    EXPECT_EQ(health.findings[0].trouble, "the kubelet does not watch a.example/a");
  }
  EXPECT_TRUE(check.has_answered());
}

TEST_F(DaemonCheckTest, DoesNotAskAgainWhileTheAnswerIsFresh) {
  DaemonCheck check(admin_, {.deadline = hours(1), .fresh = hours(1)});
  check.Ask(Note());
  admin_.states[0](absl::DeadlineExceededError("stuck"));
  check.Ask(Note());
  EXPECT_EQ(admin_.state_calls, 1);
  ASSERT_THAT(seen_, SizeIs(2));
  EXPECT_TRUE(absl::IsDeadlineExceeded(seen_[1].answers));
  EXPECT_FALSE(check.has_answered());
}

TEST_F(DaemonCheckTest, AsksAgainOnceItIsNot) {
  DaemonCheck check(admin_, {.deadline = hours(1), .fresh = milliseconds(0)});
  check.Ask(Note());
  admin_.states[0](absl::UnavailableError("gone"));
  check.Ask(Note());
  ASSERT_EQ(admin_.state_calls, 2);
  admin_.states[1](v1::NodeState());
  ASSERT_THAT(seen_, SizeIs(2));
  EXPECT_FALSE(seen_[0].answers.ok());
  EXPECT_TRUE(seen_[1].answers.ok());
}

}  // namespace
}  // namespace dp::monitor
