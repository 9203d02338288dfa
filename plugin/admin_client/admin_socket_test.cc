// SPDX-License-Identifier: Apache-2.0
#include "plugin/admin_client/admin_socket.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/fake_admin_server.h"
#include "tests/fakes/loop_thread.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::admin_client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr seconds kPatience{10};

v1::NodeState StateWith(std::uint64_t revision) {
  v1::NodeState state;
  state.set_revision(revision);
  return state;
}

class AdminSocketTest : public ::testing::Test {
 protected:
  AdminSocketTest()
      : server_(folder_.path() + "/admin.sock"), admin_(loop_.loop(), server_.path()) {}
  ~AdminSocketTest() override {
    std::promise<void> stopped;
    loop_.Do([&] { admin_.Stop([&] { stopped.set_value(); }); });
    EXPECT_EQ(stopped.get_future().wait_for(kPatience), std::future_status::ready);
    loop_.Stop();
  }

  absl::StatusOr<v1::NodeState> GetState(milliseconds deadline = kPatience) {
    std::promise<absl::StatusOr<v1::NodeState>> answer;
    loop_.Do([&] {
      admin_.GetState(deadline, [&](absl::StatusOr<v1::NodeState> state) {
        answer.set_value(std::move(state));
      });
    });
    return answer.get_future().get();
  }

  fakes::TemporaryFolder folder_;
  fakes::FakeAdminServer server_;
  fakes::LoopThread loop_;
  AdminSocket admin_;
};

TEST_F(AdminSocketTest, HandsOverWhatTheDaemonSays) {
  v1::NodeState state = StateWith(7);
  state.mutable_daemon()->set_version("1.2.3");
  server_.SetState(state);
  server_.Start();
  const auto answer = GetState();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->revision(), 7);
  EXPECT_EQ(answer->daemon().version(), "1.2.3");
}

TEST_F(AdminSocketTest, TakesAnEmptyMessageForWhatItIs) {
  server_.Start();
  const auto answer = GetState();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->devices_size(), 0);
}

TEST_F(AdminSocketTest, NamesTheSocketThatIsNotThere) {
  const auto answer = GetState();
  EXPECT_TRUE(absl::IsNotFound(answer.status())) << answer.status();
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr(server_.path()));
}

TEST_F(AdminSocketTest, DoesNotWaitForADaemonThatIsStuck) {
  server_.Start();
  server_.Hold();
  const auto answer = GetState(milliseconds(50));
  EXPECT_TRUE(absl::IsDeadlineExceeded(answer.status())) << answer.status();
  EXPECT_EQ(std::string(answer.status().message()),
            fmt::format("the daemon at {} has not answered within 0.05 s", server_.path()));
}

TEST_F(AdminSocketTest, SeesTheDaemonDieUnderACall) {
  server_.Start();
  server_.Hold();
  std::promise<absl::Status> end;
  loop_.Do([&] {
    admin_.GetState(kPatience, [&](const auto& state) { end.set_value(state.status()); });
  });
  server_.Stop();
  EXPECT_TRUE(absl::IsUnavailable(end.get_future().get()));
}

TEST_F(AdminSocketTest, PassesOnEachStateUntilTheStreamEnds) {
  server_.SetState(StateWith(1));
  server_.Start();
  std::vector<std::uint64_t> seen;
  std::promise<void> first;
  std::promise<void> second;
  std::promise<absl::Status> end;
  loop_.Do([&] {
    admin_.WatchState(
        kPatience,
        [&](const v1::NodeState& state) {
          seen.push_back(state.revision());
          (seen.size() == 1 ? first : second).set_value();
        },
        [&](const absl::Status& why) { end.set_value(why); });
  });
  ASSERT_EQ(first.get_future().wait_for(kPatience), std::future_status::ready);
  server_.SetState(StateWith(2));
  ASSERT_EQ(second.get_future().wait_for(kPatience), std::future_status::ready);
  server_.Stop();
  EXPECT_TRUE(absl::IsUnavailable(end.get_future().get()));
  EXPECT_THAT(seen, ElementsAre(1, 2));
}

TEST_F(AdminSocketTest, DoesNotWaitForEverForTheFirstState) {
  server_.Start();
  server_.Hold();
  std::promise<absl::Status> end;
  loop_.Do([&] {
    admin_.WatchState(
        milliseconds(50), [](const v1::NodeState&) { FAIL() << "a state of a stuck daemon"; },
        [&](const absl::Status& why) { end.set_value(why); });
  });
  EXPECT_TRUE(absl::IsDeadlineExceeded(end.get_future().get()));
  EXPECT_EQ(server_.WaitForWatchers(0), absl::OkStatus());
}

TEST_F(AdminSocketTest, AnswersWhoeverWaitsWhenItStops) {
  server_.Start();
  server_.Hold();
  std::vector<absl::Status> ends;
  loop_.Do([&] {
    admin_.GetState(kPatience, [&](const auto& state) { ends.push_back(state.status()); });
    admin_.WatchState(
        kPatience, [](const v1::NodeState&) {},
        [&](const absl::Status& why) { ends.push_back(why); });
  });
  std::promise<void> stopped;
  loop_.Do([&] { admin_.Stop([&] { stopped.set_value(); }); });
  ASSERT_EQ(stopped.get_future().wait_for(kPatience), std::future_status::ready);
  ASSERT_EQ(ends.size(), 2U);
  for (const absl::Status& end : ends) EXPECT_TRUE(absl::IsUnavailable(end)) << end;
  EXPECT_TRUE(absl::IsUnavailable(GetState().status()));
}

}  // namespace
}  // namespace dp::admin_client
