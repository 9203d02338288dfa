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

TEST_F(SettingsDirectoryTest, PutsFilesIntoADirectoryThatEveryoneMayRead) {
  const mode_t umask_before = umask(0077);
  SettingsDirectory store(scratch_ + "/state", scratch_ + "/cdi");
  ASSERT_TRUE(store.Prepare().ok());
  const auto directory = store.Put("0000:01:00.0", settings_);
  umask(umask_before);
  ASSERT_TRUE(directory.ok()) << directory.status();
  EXPECT_EQ(*directory, scratch_ + "/state/0000:01:00.0");
  EXPECT_THAT(Read(*directory + "/settings.json"), HasSubstr("vendor.example/nvme"));
  EXPECT_EQ(fs::status(*directory).permissions(), fs::perms{0755});
  EXPECT_EQ(fs::status(*directory + "/settings.json").permissions(), fs::perms{0644});
  EXPECT_THAT(Read(*directory + "/settings.env"), HasSubstr("VENDOR_EXAMPLE_NVME"));
  EXPECT_EQ(fs::status(*directory + "/settings.env").permissions(), fs::perms{0644});
}

TEST_F(SettingsDirectoryTest, ReplacesOlderSettings) {
  SettingsDirectory store(scratch_, scratch_ + "/cdi");
  ASSERT_TRUE(store.Put("0000:01:00.0", settings_).ok());
  core::Settings later = settings_;
  later.resource = "vendor.example/other";
  ASSERT_TRUE(store.Put("0000:01:00.0", later).ok());
  EXPECT_THAT(Read(scratch_ + "/0000:01:00.0/settings.json"), HasSubstr("vendor.example/other"));
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch_ + "/0000:01:00.0"), {}), 2);
}

TEST_F(SettingsDirectoryTest, RemovesThem) {
  SettingsDirectory store(scratch_, scratch_ + "/cdi");
  ASSERT_TRUE(store.Put("0000:01:00.0", settings_).ok());
  EXPECT_TRUE(store.Remove("0000:01:00.0").ok());
  EXPECT_FALSE(fs::exists(scratch_ + "/0000:01:00.0"));
  EXPECT_TRUE(store.Remove("0000:01:00.0").ok());
}

TEST_F(SettingsDirectoryTest, PutsASpecificationWhereRuntimesLook) {
  SettingsDirectory store(scratch_ + "/state", scratch_ + "/cdi");
  ASSERT_TRUE(store.Prepare().ok());
  ASSERT_TRUE(store.Put("0000:01:00.0", settings_).ok());
  EXPECT_FALSE(fs::exists(scratch_ + "/cdi")) << "which is not wanted";
  settings_.cdi = true;
  settings_.device_nodes = {"/dev/vfio/7"};
  ASSERT_TRUE(store.Put("0000:01:00.0", settings_).ok());
  EXPECT_THAT(Read(scratch_ + "/cdi/vfio-doorbell_0000:01:00.0.json"), HasSubstr("/dev/vfio/7"));
  EXPECT_TRUE(store.Remove("0000:01:00.0").ok());
  EXPECT_TRUE(fs::is_empty(scratch_ + "/cdi"));
}

TEST_F(SettingsDirectoryTest, NamesTheFolderOfSpecificationsThatCannotBeMade) {
  SettingsDirectory store(scratch_ + "/state", scratch_ + "/no/cdi");
  ASSERT_TRUE(store.Prepare().ok());
  settings_.cdi = true;
  EXPECT_THAT(std::string(store.Put("0000:01:00.0", settings_).status().message()),
              HasSubstr(scratch_ + "/no/cdi"));
}

TEST_F(SettingsDirectoryTest, NamesThePathThatCannotBeMade) {
  SettingsDirectory store(scratch_ + "/no/such/parent", scratch_ + "/cdi");
  const auto status = store.Prepare();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(scratch_ + "/no/such/parent"));
}

TEST_F(SettingsDirectoryTest, NamesThePathThatIsNoDirectory) {
  std::ofstream(scratch_ + "/state") << "a file";
  SettingsDirectory store(scratch_ + "/state", scratch_ + "/cdi");
  EXPECT_FALSE(store.Prepare().ok());
  const auto status = store.Put("0000:01:00.0", settings_).status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(scratch_ + "/state"));
}

}  // namespace
}  // namespace dp::settings
