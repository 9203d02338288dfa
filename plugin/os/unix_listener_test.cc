// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/unix_listener.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace dp::os {
namespace {

using ::testing::HasSubstr;

base::UniqueFd Connect(const std::string& path) {
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0
             ? std::move(fd)
             : base::UniqueFd();
}

class UnixListenerTest : public testing::Test {
 protected:
  UnixListenerTest() : loop_owner_(*EventLoop::Create()), loop_(*loop_owner_) {
    // Short, because of kMaxSocketPath.
    char name[] = "/tmp/dp-listenerXXXXXX";
    directory_ = ::mkdtemp(name);
    path_ = directory_ + "/s.sock";
    loop_.CallAfter(std::chrono::seconds(20), [this] {
      ADD_FAILURE() << "the expected connections did not come within 20 s";
      loop_.Stop();
    });
  }
  ~UnixListenerTest() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
  std::string path_;
  std::unique_ptr<EventLoop> loop_owner_;
  EventLoop& loop_;
};

TEST_F(UnixListenerTest, HandsOutNonblockingCloseOnExecConnections) {
  std::vector<base::UniqueFd> connections;
  const auto listener = UnixListener::Create(loop_, path_, 0600, [&](base::UniqueFd connection) {
    connections.push_back(std::move(connection));
    if (connections.size() == 2) loop_.Stop();
  });
  ASSERT_TRUE(listener.ok()) << listener.status();
  const base::UniqueFd first = Connect(path_);
  const base::UniqueFd second = Connect(path_);
  loop_.Run();
  ASSERT_EQ(connections.size(), 2u);
  for (const base::UniqueFd& connection : connections) {
    EXPECT_TRUE(::fcntl(connection.get(), F_GETFL) & O_NONBLOCK);
    EXPECT_TRUE(::fcntl(connection.get(), F_GETFD) & FD_CLOEXEC);
  }
  ASSERT_EQ(::write(first.get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(connections[0].get(), &byte, 1), 1);
}

TEST_F(UnixListenerTest, ModeIsAsGivenWhateverTheUmask) {
  const mode_t umask = ::umask(0077);
  const auto listener = UnixListener::Create(loop_, path_, 0660, [](auto) {});
  ::umask(umask);
  ASSERT_TRUE(listener.ok()) << listener.status();
  struct stat info {};
  ASSERT_EQ(::lstat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0660u);
}

TEST_F(UnixListenerTest, ReplacesAStaleSocketAndRemovesItsOwnAtTheEnd) {
  {
    const base::UniqueFd crashed(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size());
    ASSERT_EQ(::bind(crashed.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              0);
  }
  {
    const auto listener = UnixListener::Create(loop_, path_, 0600, [](auto) {});
    ASSERT_TRUE(listener.ok()) << listener.status();
    EXPECT_TRUE(Connect(path_).valid());
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(UnixListenerTest, LeavesASuccessorsSocketAlone) {
  auto first = UnixListener::Create(loop_, path_, 0600, [](auto) {});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE((*first)->InPlace());
  const auto second = UnixListener::Create(loop_, path_, 0600, [](auto) {});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE((*first)->InPlace());
  EXPECT_TRUE((*second)->InPlace());
  first->reset();
  EXPECT_TRUE(Connect(path_).valid());
}

TEST_F(UnixListenerTest, KnowsWhenItsSocketWasRemoved) {
  const auto listener = UnixListener::Create(loop_, path_, 0600, [](auto) {});
  ASSERT_TRUE(listener.ok()) << listener.status();
  std::filesystem::remove(path_);
  EXPECT_FALSE((*listener)->InPlace());
}

TEST_F(UnixListenerTest, RefusesToRemoveWhatIsNoSocket) {
  std::ofstream(path_) << "precious";
  const auto listener = UnixListener::Create(loop_, path_, 0600, [](auto) {});
  EXPECT_EQ(listener.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(listener.status().message()),
            "cannot listen on " + path_ + ": something that is not a socket is there already");
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(UnixListenerTest, PathMayBeAsLongAsTheKernelAllows) {
  const std::string longest =
      directory_ + "/" + std::string(kMaxSocketPath - directory_.size() - 1, 's');
  ASSERT_EQ(longest.size(), kMaxSocketPath);
  const auto listener = UnixListener::Create(loop_, longest, 0600, [](auto) {});
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(Connect(longest).valid());

  const auto too_long = UnixListener::Create(loop_, longest + "s", 0600, [](auto) {});
  EXPECT_EQ(too_long.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(too_long.status().message()),
            "cannot listen on " + longest + "s: a socket path has 1 to 107 bytes, this one 108");
  EXPECT_EQ(UnixListener::Create(loop_, "", 0600, [](auto) {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(UnixListenerTest, MissingFolderIsNamed) {
  const auto listener = UnixListener::Create(loop_, directory_ + "/no/s.sock", 0600, [](auto) {});
  EXPECT_EQ(listener.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(listener.status().message()),
              HasSubstr("cannot listen on " + directory_ + "/no/s.sock"));
}

TEST_F(UnixListenerTest, HandlerMayDestroyTheListener) {
  std::unique_ptr<UnixListener> listener;
  auto created = UnixListener::Create(loop_, path_, 0600, [&](base::UniqueFd) {
    listener.reset();
    loop_.Stop();
  });
  ASSERT_TRUE(created.ok()) << created.status();
  listener = *std::move(created);
  const base::UniqueFd client = Connect(path_);
  loop_.Run();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(UnixListenerTest, ConnectionWaitsWhileNoDescriptorIsLeft) {
  int accepted = 0;
  const auto listener = UnixListener::Create(loop_, path_, 0600, [&](base::UniqueFd) {
    ++accepted;
    loop_.Stop();
  });
  ASSERT_TRUE(listener.ok()) << listener.status();
  const base::UniqueFd client = Connect(path_);

  rlimit original{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &original), 0);
  rlimit none = original;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  rusage before{};
  ASSERT_EQ(::getrusage(RUSAGE_THREAD, &before), 0);
  rusage after{};
  int accepted_without_descriptors = -1;
  loop_.CallAfter(std::chrono::milliseconds(250), [&] {
    accepted_without_descriptors = accepted;
    ASSERT_EQ(::getrusage(RUSAGE_THREAD, &after), 0);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &original), 0);
  });
  loop_.Run();
  EXPECT_EQ(accepted_without_descriptors, 0);
  EXPECT_EQ(accepted, 1);
  // It slept: three pauses and the timer of this test, not a spinning loop.
  EXPECT_LE(after.ru_nvcsw - before.ru_nvcsw, 8);
  EXPECT_LT(after.ru_utime.tv_sec * 1000000 + after.ru_utime.tv_usec -
                before.ru_utime.tv_sec * 1000000 - before.ru_utime.tv_usec,
            100000);
}

}  // namespace
}  // namespace dp::os
