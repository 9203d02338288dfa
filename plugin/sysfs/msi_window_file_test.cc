// SPDX-License-Identifier: Apache-2.0
#include "plugin/sysfs/msi_window_file.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "tests/fakes/sysfs_tree.h"

namespace dp::sysfs {
namespace {

constexpr core::Window kWindow{.base = 0x09000000, .size = 0x100000};

class MsiWindowFileTest : public testing::Test {
 protected:
  MsiWindowFileTest() : root_(*SysfsRoot::Open(tree_.path())), knob_(root_) {
    tree_.AddPciFunction({.address = "0000:00:01.0", .group = 7});
  }

  [[nodiscard]] std::string KnobPath(int group) const {
    return tree_.path() + "/kernel/iommu_groups/" + std::to_string(group) + "/msi_window";
  }
  [[nodiscard]] std::string Content() const {
    std::ifstream in(KnobPath(7));
    return {std::istreambuf_iterator<char>(in), {}};
  }

  fakes::SysfsTree tree_;
  SysfsRoot root_;
  MsiWindowFile knob_;
};

TEST_F(MsiWindowFileTest, ReadsTheWindowInForce) {
  tree_.SetMsiWindow(7, "0x08000000 0x00100000");
  const auto window = knob_.Read(7);
  ASSERT_TRUE(window.ok()) << window.status();
  EXPECT_EQ(*window, core::kFixedWindow);
}

TEST_F(MsiWindowFileTest, WritesWhatTheKernelReadsAndReadsItBack) {
  tree_.SetMsiWindow(7, "0x0800000000000000 0x0010000000000000");
  ASSERT_TRUE(knob_.Write(7, kWindow).ok());
  EXPECT_EQ(Content(), "0x09000000 0x00100000\n");
  EXPECT_EQ(*knob_.Read(7), kWindow);
}

TEST_F(MsiWindowFileTest, ResetAsksForTheDefault) {
  tree_.SetMsiWindow(7, "0x09000000 0x00100000");
  ASSERT_TRUE(knob_.Reset(7).ok());
  EXPECT_EQ(Content(), "default\n");
}

TEST_F(MsiWindowFileTest, KernelWithoutTheKnobAndMissingGroupAreNotFound) {
  for (const int group : {7, 8}) {
    const auto read = knob_.Read(static_cast<std::uint32_t>(group));
    EXPECT_EQ(read.status().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(std::string(read.status().message()), KnobPath(group) + " does not exist");
    const auto written = knob_.Write(static_cast<std::uint32_t>(group), kWindow);
    EXPECT_EQ(written.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(std::string(written.message()),
              "cannot write \"0x09000000 0x00100000\" to " + KnobPath(group) +
                  ": there is no such group, or the kernel lacks the attribute");
  }
  EXPECT_FALSE(std::filesystem::exists(KnobPath(7)));
}

TEST_F(MsiWindowFileTest, GroupWithoutASoftwareWindowIsAFailedPrecondition) {
  tree_.SetMsiWindow(7, "none");
  const auto window = knob_.Read(7);
  EXPECT_EQ(window.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(window.status().message()),
            KnobPath(7) + " says \"none\": the group has no software-managed MSI window");
}

TEST_F(MsiWindowFileTest, GarbageIsInternal) {
  tree_.SetMsiWindow(7, "perhaps");
  const auto window = knob_.Read(7);
  EXPECT_EQ(window.status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(std::string(window.status().message()),
            KnobPath(7) + " holds \"perhaps\", not \"0xBASE 0xSIZE\" or \"none\"");
}

TEST_F(MsiWindowFileTest, DoesNotWriteThroughALink) {
  tree_.AddFile("victim", "precious");
  tree_.AddLink("kernel/iommu_groups/7/msi_window", "../../../victim");
  EXPECT_FALSE(knob_.Write(7, kWindow).ok());
  std::ifstream victim(tree_.path() + "/victim");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(victim), {}), "precious");
}

TEST_F(MsiWindowFileTest, ChecksWithoutWriting) {
  tree_.SetMsiWindow(7, "0x08000000 0x00100000");
  EXPECT_EQ(knob_.Check(7), absl::OkStatus());
  EXPECT_EQ(Content(), "0x08000000 0x00100000\n");
  EXPECT_TRUE(absl::IsNotFound(knob_.Check(8)));
}

TEST(MsiWindowOpenErrorTest, NamesWhoForbidsIt) {
  for (const int error : {EACCES, EPERM}) {
    EXPECT_EQ(MsiWindowOpenError(error, "/the/path", "docker-default (enforce)"),
              absl::PermissionDeniedError("cannot open /the/path for writing: Permission denied; "
                                          "AppArmor or SELinux confines this process as "
                                          "\"docker-default (enforce)\""));
    EXPECT_EQ(MsiWindowOpenError(error, "/the/path", ""),
              absl::PermissionDeniedError("cannot open /the/path for writing: Permission denied; "
                                          "neither AppArmor nor SELinux confines this process, so "
                                          "look at the file's mode"));
  }
  EXPECT_EQ(
      MsiWindowOpenError(EROFS, "/the/path", ""),
      absl::PermissionDeniedError("cannot open /the/path for writing: it is mounted read-only"));
}

struct ErrnoCase {
  int error;
  absl::StatusCode code;
};

class MsiWindowErrnoTest : public testing::TestWithParam<ErrnoCase> {};

// A directory in tmpfs cannot be made to answer with these; the kernel's own tests do
// (tests/kernel).
TEST_P(MsiWindowErrnoTest, HasItsCodeAndNamesValueAndPath) {
  const absl::Status status = MsiWindowWriteError(GetParam().error, "/the/path", "the value");
  EXPECT_EQ(status.code(), GetParam().code);
  EXPECT_EQ(std::string(status.message()).find("cannot write \"the value\" to /the/path: "), 0u)
      << status;
}

constexpr ErrnoCase kErrnoCases[] = {
    {EACCES, absl::StatusCode::kPermissionDenied},  {EROFS, absl::StatusCode::kPermissionDenied},
    {EBUSY, absl::StatusCode::kUnavailable},        {ERANGE, absl::StatusCode::kOutOfRange},
    {EADDRINUSE, absl::StatusCode::kAlreadyExists}, {EOPNOTSUPP, absl::StatusCode::kUnimplemented},
    {EINVAL, absl::StatusCode::kInvalidArgument},   {ENODEV, absl::StatusCode::kNotFound},
    {ENOENT, absl::StatusCode::kNotFound},          {ENOMEM, absl::StatusCode::kResourceExhausted},
};
INSTANTIATE_TEST_SUITE_P(EveryErrno, MsiWindowErrnoTest, testing::ValuesIn(kErrnoCases));

TEST(MsiWindowWriteErrorTest, EverySentenceIsItsOwn) {
  std::set<std::string> sentences;
  for (const ErrnoCase& each : kErrnoCases) {
    sentences.insert(std::string(MsiWindowWriteError(each.error, "p", "v").message()));
  }
  EXPECT_EQ(sentences.size(), std::size(kErrnoCases));
}

}  // namespace
}  // namespace dp::sysfs
