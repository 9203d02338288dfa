// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/features.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>

#include "tests/fakes/node_states.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::status {
namespace {

TEST(FeaturesTest, SaysWhatStaysWhilePodsComeAndGo) {
  NodeState state = fakes::GoodState(2);
  const std::string text = FeatureFile(state);
  EXPECT_EQ(text,
            "# by vfio-doorbell-monitor\n"
            "vfio-doorbell.io/knob=true\n"
            "vfio-doorbell.io/mode=enforce\n"
            "vfio-doorbell.io/window-size=0x00100000\n"
            "vfio-doorbell.io/pool-start=0x09000000\n"
            "vfio-doorbell.io/pool-end=0x49000000\n"
            "vfio-doorbell.io/pool-windows=1024\n"
            "vfio-doorbell.io/iommufd=false\n");
  state.devices[0] = fakes::StartedDevice(0, "vm");
  --state.pool.free;
  EXPECT_EQ(FeatureFile(state), text);
}

TEST(FeaturesTest, TellsKernelsApart) {
  NodeState state = fakes::GoodState(2);
  state.daemon.groups_without_knob = 1;
  EXPECT_NE(FeatureFile(state).find("/knob=some\n"), std::string::npos);
  state.daemon.groups_with_knob = 0;
  EXPECT_NE(FeatureFile(state).find("/knob=false\n"), std::string::npos);
}

// What NFD makes labels of: the values must be such as labels take.
TEST(FeaturesTest, HasOnlyLinesThatBecomeLabels) {
  const std::regex line("vfio-doorbell\\.io/[a-z-]+=[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?");
  std::istringstream lines(FeatureFile(fakes::GoodState(2)));
  std::string text;
  std::getline(lines, text);
  EXPECT_EQ(text[0], '#');
  while (std::getline(lines, text)) EXPECT_TRUE(std::regex_match(text, line)) << text;
}

TEST(FeaturesTest, LeavesNothingElseInTheFolder) {
  const fakes::TemporaryFolder folder;
  const std::string path = folder.path() + "/vfio-doorbell";
  // Of a killed writer.
  std::ofstream(folder.path() + "/.vfio-doorbell.new") << "half";
  ASSERT_TRUE(WriteFeatureFile(path, "a=1\n").ok());
  ASSERT_TRUE(WriteFeatureFile(path, "a=2\n").ok());
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  EXPECT_EQ(content.str(), "a=2\n");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_EQ(entry.path(), path);
    ++files;
  }
  EXPECT_EQ(files, 1);
}

TEST(FeaturesTest, NamesThePlaceThatIsMissing) {
  const absl::Status status = WriteFeatureFile("/nowhere/features.d/vfio-doorbell", "a\n");
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_NE(std::string(status.message()).find("/nowhere/features.d/"), std::string::npos);
}

}  // namespace
}  // namespace dp::status
