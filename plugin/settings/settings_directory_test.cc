// SPDX-License-Identifier: Apache-2.0
#include "plugin/settings/settings_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace dp::settings {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class SettingsDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "settings-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    scratch_ = pattern;
    settings_.resource = "vendor.example/nvme";
  }
  void TearDown() override { fs::remove_all(scratch_); }

  std::string scratch_;
  core::Settings settings_;
};

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(SettingsDirectoryTest, PutsOneFileIntoADirectoryThatEveryoneMayRead) {
  const mode_t umask_before = umask(0077);
  SettingsDirectory store(scratch_ + "/state");
  ASSERT_TRUE(store.Prepare().ok());
  const auto directory = store.Put("0000:01:00.0", settings_);
  umask(umask_before);
  ASSERT_TRUE(directory.ok()) << directory.status();
  EXPECT_EQ(*directory, scratch_ + "/state/0000:01:00.0");
  EXPECT_THAT(Read(*directory + "/settings.json"), HasSubstr("vendor.example/nvme"));
  EXPECT_EQ(fs::status(*directory).permissions(), fs::perms{0755});
  EXPECT_EQ(fs::status(*directory + "/settings.json").permissions(), fs::perms{0644});
}

TEST_F(SettingsDirectoryTest, ReplacesOlderSettings) {
  SettingsDirectory store(scratch_);
  ASSERT_TRUE(store.Put("0000:01:00.0", settings_).ok());
  core::Settings later = settings_;
  later.resource = "vendor.example/other";
  ASSERT_TRUE(store.Put("0000:01:00.0", later).ok());
  EXPECT_THAT(Read(scratch_ + "/0000:01:00.0/settings.json"), HasSubstr("vendor.example/other"));
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch_ + "/0000:01:00.0"), {}), 1);
}

TEST_F(SettingsDirectoryTest, RemovesThem) {
  SettingsDirectory store(scratch_);
  ASSERT_TRUE(store.Put("0000:01:00.0", settings_).ok());
  EXPECT_TRUE(store.Remove("0000:01:00.0").ok());
  EXPECT_FALSE(fs::exists(scratch_ + "/0000:01:00.0"));
  EXPECT_TRUE(store.Remove("0000:01:00.0").ok());
}

TEST_F(SettingsDirectoryTest, NamesThePathThatCannotBeMade) {
  SettingsDirectory store(scratch_ + "/no/such/parent");
  const auto status = store.Prepare();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(scratch_ + "/no/such/parent"));
}

TEST_F(SettingsDirectoryTest, NamesThePathThatIsNoDirectory) {
  std::ofstream(scratch_ + "/state") << "a file";
  SettingsDirectory store(scratch_ + "/state");
  EXPECT_FALSE(store.Prepare().ok());
  const auto status = store.Put("0000:01:00.0", settings_).status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(scratch_ + "/state"));
}

}  // namespace
}  // namespace dp::settings
