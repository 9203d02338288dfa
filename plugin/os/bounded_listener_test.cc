// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/bounded_listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "plugin/os/unix_connect.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::os {
namespace {

using namespace std::chrono_literals;

class BoundedListenerTest : public ::testing::Test {
 protected:
  void Listen(BoundedListener::Bounds bounds) {
    auto listener = BoundedListener::Create(
        *loop_, path_, -1, bounds,
        [this](base::UniqueFd connection) { served_.push_back(std::move(connection)); });
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  base::UniqueFd Connect() {
    auto connection = ConnectUnix(path_);
    EXPECT_TRUE(connection.ok()) << connection.status();
    return *std::move(connection);
  }
  // Something to be done once something is so.
  struct Step {
    std::string what;
    std::function<bool()> is_so;
    std::function<void()> then;
  };
  // Runs the loop until all steps are done, one after the other.
  void Run(std::vector<Step> steps) {
    const auto deadline = EventLoop::Clock::now() + 10s;
    std::size_t next = 0;
    std::function<void()> look = [&] {
      if (next < steps.size() && steps[next].is_so()) steps[next++].then();
      if (next == steps.size() || EventLoop::Clock::now() > deadline) {
        loop_->Stop();
      } else {
        loop_->CallAfter(1ms, look);
      }
    };
    loop_->Post(look);
    loop_->Run();
    if (next < steps.size()) ADD_FAILURE() << "not seen in 10 s: " << steps[next].what;
  }
  // The server has done with its n-th connection, as gRPC does.
  void End(std::size_t n) {
    ::shutdown(served_[n].get(), SHUT_RDWR);
    served_[n].Reset();
  }
  static bool HasEnded(const base::UniqueFd& client) {
    char byte = 0;
    return ::recv(client.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }

  fakes::TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/s";
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create().value();
  std::vector<base::UniqueFd> served_;
  std::unique_ptr<BoundedListener> listener_;
};

TEST_F(BoundedListenerTest, IsForRootAlone) {
  Listen({});
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
}

TEST_F(BoundedListenerTest, OrForAGroupToo) {
  auto listener = BoundedListener::Create(*loop_, path_, ::getgid(), {}, [](base::UniqueFd) {});
  ASSERT_TRUE(listener.ok()) << listener.status();
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0660U);
  EXPECT_EQ(info.st_gid, ::getgid());
}

TEST_F(BoundedListenerTest, LetsTheNextOneInWhenOneHasLeft) {
  Listen({.connections = 2, .welcome = 1h});
  std::vector<base::UniqueFd> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(Connect());
  std::size_t served_at_first = 0;
  const auto now = EventLoop::Clock::now();
  Run({{.what = "nobody else is served meanwhile",
        .is_so = [&] { return EventLoop::Clock::now() > now + 100ms; },
        .then =
            [&] {
              served_at_first = served_.size();
              clients[0].Reset();
            }},
       {.what = "one more, for the client that has left",
        .is_so = [&] { return served_.size() == 3; },
        .then = [&] { End(1); }},
       {.what = "one more, for the one that the server has ended",
        .is_so = [&] { return served_.size() == 4; },
        .then = [] {}}});
  EXPECT_EQ(served_at_first, 2U);
}

TEST_F(BoundedListenerTest, SendsAwayWhoStaysTooLongWhileOthersWait) {
  Listen({.connections = 2, .welcome = 50ms});
  std::vector<base::UniqueFd> clients;
  for (int i = 0; i < 2; ++i) clients.push_back(Connect());
  Run({{.what = "two are served",
        .is_so = [&] { return served_.size() == 2; },
        .then = [&] { clients.push_back(Connect()); }},
       {.what = "the third is served",
        .is_so = [&] { return served_.size() == 3; },
        .then = [] {}}});
  EXPECT_TRUE(HasEnded(clients[0]));
  EXPECT_FALSE(HasEnded(clients[2]));
}

}  // namespace
}  // namespace dp::os
