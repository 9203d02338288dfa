// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/open_beneath.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

namespace dp::os {
namespace {

class OpenBeneathTest : public testing::Test {
 protected:
  OpenBeneathTest() {
    std::string name = testing::TempDir() + "beneathXXXXXX";
    directory_ = ::mkdtemp(name.data());
    std::filesystem::create_directories(directory_ + "/root/a/b");
    std::ofstream(directory_ + "/root/a/b/file") << "inside";
    std::ofstream(directory_ + "/file") << "outside";
    root_ =
        base::UniqueFd(::open((directory_ + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  ~OpenBeneathTest() override { std::filesystem::remove_all(directory_); }

  void Link(const std::string& target, const std::string& name) const {
    std::filesystem::create_symlink(target, directory_ + "/root/" + name);
  }
  // errno of the attempt, 0 if it succeeded.
  [[nodiscard]] int Try(const char* path, Links links) const {
    return OpenBeneath(root_.get(), path, O_RDONLY, links).valid() ? 0 : errno;
  }

  std::string directory_;
  base::UniqueFd root_;
};

TEST_F(OpenBeneathTest, OpensWhatLiesBelow) {
  EXPECT_EQ(Try("a/b/file", Links::kRefuse), 0);
  EXPECT_EQ(Try("a/b/../b/file", Links::kRefuse), 0);
  EXPECT_EQ(Try("a/none", Links::kRefuse), ENOENT);
}

TEST_F(OpenBeneathTest, FollowsLinksOnlyIfAskedTo) {
  Link("../a/b/file", "a/link");
  EXPECT_EQ(Try("a/link", Links::kFollow), 0);
  EXPECT_EQ(Try("a/link", Links::kRefuse), ELOOP);
}

TEST_F(OpenBeneathTest, NeverLeavesTheDirectory) {
  Link("../../file", "a/up");
  Link(directory_ + "/file", "a/absolute");
  Link("loop", "loop");
  for (const Links links : {Links::kFollow, Links::kRefuse})
    EXPECT_EQ(Try("../file", links), EXDEV);
  EXPECT_EQ(Try((directory_ + "/file").c_str(), Links::kFollow), EXDEV);
  EXPECT_EQ(Try("a/up", Links::kFollow), EXDEV);
  EXPECT_EQ(Try("a/absolute", Links::kFollow), EXDEV);
  EXPECT_EQ(Try("loop", Links::kFollow), ELOOP);
}

TEST_F(OpenBeneathTest, DoesNotWaitForTheOtherEndOfAFifo) {
  ASSERT_EQ(::mkfifo((directory_ + "/root/fifo").c_str(), 0600), 0);
  EXPECT_EQ(Try("fifo", Links::kRefuse), 0);
}

TEST_F(OpenBeneathTest, ClosesOnExec) {
  const base::UniqueFd fd = OpenBeneath(root_.get(), "a", O_PATH | O_DIRECTORY, Links::kRefuse);
  ASSERT_TRUE(fd.valid());
  EXPECT_TRUE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC);
}

}  // namespace
}  // namespace dp::os
