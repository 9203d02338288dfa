// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/claim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "tests/fakes/fake_syscalls.h"
#include "tests/fakes/temporary_folder.h"

// That the kernel refuses what is mounted is seen on a real one (tests/e2e/binding_test.py).

namespace dp::os {
namespace {

using ::testing::HasSubstr;

class ClaimTest : public testing::Test {
 protected:
  [[nodiscard]] std::string path(const std::string& name) const {
    return folder_.path() + "/" + name;
  }

  fakes::TemporaryFolder folder_;
};

TEST_F(ClaimTest, OnlyTheRightBlockDeviceIsOpened) {
  std::ofstream(path("file")).flush();
  const auto file = ClaimBlockDevice(path("file"), {.major = 8, .minor = 0});
  EXPECT_TRUE(absl::IsFailedPrecondition(file.status())) << file.status();
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("/file is not block device 8:0"));

  ASSERT_EQ(::mknod(path("disk").c_str(), S_IFBLK | 0600, ::makedev(8, 16)), 0);
  const auto other = ClaimBlockDevice(path("disk"), {.major = 8, .minor = 0});
  EXPECT_TRUE(absl::IsFailedPrecondition(other.status())) << other.status();

  const auto none = ClaimBlockDevice(path("none"), {.major = 8, .minor = 0});
  EXPECT_TRUE(absl::IsNotFound(none.status())) << none.status();
}

// Not even the right one is taken for free when the kernel does not answer for it.
TEST_F(ClaimTest, ADeviceThatCannotBeOpenedIsNotClaimed) {
  constexpr unsigned kUnused = 4095;
  ASSERT_EQ(::mknod(path("disk").c_str(), S_IFBLK | 0600, ::makedev(kUnused, 7)), 0);
  const auto claim = ClaimBlockDevice(path("disk"), {.major = kUnused, .minor = 7});
  ASSERT_FALSE(claim.ok());
  EXPECT_THAT(std::string(claim.status().message()), HasSubstr("/disk for exclusive use"));
}

TEST_F(ClaimTest, WhatSomebodyHasIsUnavailable) {
  ASSERT_EQ(::mknod(path("disk").c_str(), S_IFBLK | 0600, ::makedev(8, 16)), 0);
  const fakes::Fault busy{.call = 0, .kind = fakes::Fault::Kind::kFailAll, .error = EBUSY};
  const fakes::FakeSyscalls faults({busy});
  const auto disk = ClaimBlockDevice(path("disk"), {.major = 8, .minor = 16});
  EXPECT_TRUE(absl::IsUnavailable(disk.status())) << disk.status();
  const auto group = ClaimVfioGroup(path("7"));
  EXPECT_TRUE(absl::IsUnavailable(group.status())) << group.status();
}

TEST_F(ClaimTest, AGroupThatIsNotThereIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(ClaimVfioGroup(path("7")).status()));
  std::ofstream(path("7")).flush();
  EXPECT_TRUE(ClaimVfioGroup(path("7")).ok());
}

}  // namespace
}  // namespace dp::os
