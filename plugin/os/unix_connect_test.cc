// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/unix_connect.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "plugin/os/unix_listener.h"

namespace dp::os {
namespace {

using ::testing::HasSubstr;

class UnixConnectTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/connect-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(UnixConnectTest, ReachesAListener) {
  auto loop = EventLoop::Create();
  ASSERT_TRUE(loop.ok()) << loop.status();
  int accepted = 0;
  auto listener = UnixListener::Create(**loop, folder_ + "/s", 0600, [&](base::UniqueFd) {
    ++accepted;
    (*loop)->Stop();
  });
  ASSERT_TRUE(listener.ok()) << listener.status();
  auto connection = ConnectUnix(folder_ + "/s");
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_TRUE(fcntl(connection->get(), F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(fcntl(connection->get(), F_GETFD) & FD_CLOEXEC);
  (*loop)->Run();
  EXPECT_EQ(accepted, 1);
}

TEST_F(UnixConnectTest, TellsAMissingSocketFromADeafOne) {
  EXPECT_EQ(ConnectUnix(folder_ + "/s").status().code(), absl::StatusCode::kNotFound);
  {
    auto loop = EventLoop::Create();
    auto listener = UnixListener::Create(**loop, folder_ + "/s", 0600, [](base::UniqueFd) {});
    ASSERT_TRUE(listener.ok()) << listener.status();
    std::filesystem::create_hard_link(folder_ + "/s", folder_ + "/left");
  }
  const auto status = ConnectUnix(folder_ + "/left").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder_ + "/left"));
}

TEST_F(UnixConnectTest, RefusesAPathThatIsTooLong) {
  EXPECT_EQ(ConnectUnix("/" + std::string(kMaxSocketPath, 'x')).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace dp::os
