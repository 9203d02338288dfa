// SPDX-License-Identifier: Apache-2.0
#include "plugin/config/config_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace dp::config {
namespace {

TEST(LoadConfigFileTest, ReadsAFile) {
  const auto config = LoadConfigFile("api/config/example.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->resources.size(), 3U);
}

TEST(LoadConfigFileTest, MistakesNameFileLineAndKey) {
  const std::string path = "tests/testdata/config/bad/no-resources.yaml";
  const auto config = LoadConfigFile(path);
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(config.status().message()), path + ":3: resources: is an empty list");
}

TEST(LoadConfigFileTest, MissingFileIsNamed) {
  const auto config = LoadConfigFile("/nowhere/config.yaml");
  EXPECT_EQ(config.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(config.status().message()),
            "cannot open /nowhere/config.yaml: No such file or directory");
}

TEST(LoadConfigFileTest, HugeFileIsRefusedUnread) {
  const std::string path = testing::TempDir() + "huge-config.yaml";
  std::ofstream(path) << std::string(kLongestConfigFile + 1, '#');
  const auto config = LoadConfigFile(path);
  std::filesystem::remove(path);
  EXPECT_EQ(config.status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(std::string(config.status().message()), path + " has more than 1048576 bytes");
}

}  // namespace
}  // namespace dp::config
