// SPDX-License-Identifier: Apache-2.0
#include "plugin/config/config_watch.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <semaphore>

#include "tests/fakes/loop_thread.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::config {
namespace {

using namespace std::chrono_literals;

class ConfigWatchTest : public ::testing::Test {
 protected:
  void SetUp() override { Write("config.yaml", "old"); }
  void TearDown() override {
    thread_.Do([this] { watch_.reset(); });
  }
  void Watch() {
    thread_.Do([this] {
      watch_ = ConfigWatch::Create(thread_.loop(), path("config.yaml"), [this] {
                 told_.release();
               }).value();
    });
  }
  [[nodiscard]] std::string path(const std::string& name) const {
    return folder_.path() + "/" + name;
  }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  bool IsTold() { return told_.try_acquire_for(10s); }
  bool IsToldMore() { return told_.try_acquire_for(3 * ConfigWatch::kSettled); }

  fakes::TemporaryFolder folder_;
  std::counting_semaphore<> told_{0};
  fakes::LoopThread thread_;
  std::unique_ptr<ConfigWatch> watch_;
};

TEST_F(ConfigWatchTest, SeesAFileThatIsWritten) {
  Watch();
  Write("config.yaml", "new");
  EXPECT_TRUE(IsTold());
}

TEST_F(ConfigWatchTest, SeesAFileThatIsReplaced) {
  Watch();
  Write("fresh", "new");
  std::filesystem::rename(path("fresh"), path("config.yaml"));
  EXPECT_TRUE(IsTold());
}

TEST_F(ConfigWatchTest, SeesAConfigMapOnce) {
  std::filesystem::remove(path("config.yaml"));
  const auto publish = [this](const std::string& version) {
    std::filesystem::create_directory(path(version));
    Write(version + "/config.yaml", version);
    std::filesystem::create_directory_symlink(version, path("..data_tmp"));
    std::filesystem::rename(path("..data_tmp"), path("..data"));
  };
  publish("..1");
  std::filesystem::create_symlink("..data/config.yaml", path("config.yaml"));
  Watch();
  publish("..2");
  EXPECT_TRUE(IsTold());
  EXPECT_FALSE(IsToldMore());
}

TEST_F(ConfigWatchTest, IgnoresTheNeighbours) {
  Watch();
  Write("config.yaml.swp", "x");
  EXPECT_FALSE(IsToldMore());
}

TEST_F(ConfigWatchTest, NamesAFolderThatIsNotThere) {
  thread_.Do([this] {
    const auto watch = ConfigWatch::Create(thread_.loop(), path("no/config.yaml"), [] {});
    EXPECT_EQ(watch.status().code(), absl::StatusCode::kNotFound);
    EXPECT_NE(std::string(watch.status().message()).find(path("no")), std::string::npos);
  });
}

}  // namespace
}  // namespace dp::config
