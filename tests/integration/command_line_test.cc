// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/integration/world.h"

// Starts that fail, and runs that are no starts.

namespace dp::integration {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class CommandLineTest : public World {
 protected:
  int Run(std::vector<std::string> more = {}) {
    Start(std::move(more));
    return daemon_->Wait();
  }
};

TEST_F(CommandLineTest, NamesFileLineAndKeyOfABadConfiguration) {
  AddDevice("0000:01:00.0", 11);
  WriteConfig("\nresources:\n  - name: vendor.example/nvme\n    selector: []\n");
  EXPECT_EQ(Run(), 2);
  EXPECT_THAT(daemon_->log(), HasSubstr(path("config.yaml") + ":4: resources[0].selector: "));
  EXPECT_EQ(Run({"--check-config"}), 2);
  EXPECT_THAT(daemon_->log(), HasSubstr(path("config.yaml") + ":4: "));
}

TEST_F(CommandLineTest, NamesAMissingConfiguration) {
  std::filesystem::remove(path("config.yaml"));
  EXPECT_EQ(Run(), 2);
  EXPECT_THAT(daemon_->log(), HasSubstr(path("config.yaml")));
}

TEST_F(CommandLineTest, RefusesTwoResourcesForOneGroup) {
  AddDevice("0000:01:00.0", 11);
  WriteConfig(R"(
resources:
  - name: vendor.example/nvme
    selectors:
      - {vendor: "1b36"}
  - name: vendor.example/other
    selectors:
      - {driver: vfio-pci}
)");
  for (const auto& more : std::vector<std::vector<std::string>>{{}, {"--check-config"}}) {
    EXPECT_EQ(Run(more), 2);
    EXPECT_THAT(daemon_->log(), AllOf(HasSubstr("vendor.example/nvme"),
                                      HasSubstr("vendor.example/other"), HasSubstr("group 11")));
  }
}

TEST_F(CommandLineTest, ChecksAConfigurationWithoutDoingAnything) {
  AddDevice("0000:01:00.0", 11);
  EXPECT_EQ(Run({"--check-config"}), 0);
  EXPECT_EQ(daemon_->output(), path("config.yaml") + ": valid\n");
  EXPECT_TRUE(std::filesystem::is_empty(path("plugins")));
  EXPECT_FALSE(std::filesystem::exists(path("state")));
}

TEST_F(CommandLineTest, ChecksAConfigurationWhereThereIsNoIommu) {
  EXPECT_EQ(Run({"--check-config"}), 0);
  EXPECT_THAT(daemon_->output(), HasSubstr("valid, but not compared with this host"));
}

TEST_F(CommandLineTest, NamesASysfsThatIsNone) {
  EXPECT_EQ(Run({"--sysfs-root", path("missing")}), 1);
  EXPECT_THAT(daemon_->log(), HasSubstr(path("missing")));
  std::filesystem::create_directory(path("empty"));
  EXPECT_EQ(Run({"--sysfs-root", path("empty")}), 1);
  EXPECT_THAT(daemon_->log(), HasSubstr(path("empty")));
}

TEST_F(CommandLineTest, SaysThatThereAreNoGroups) {
  sysfs_.AddDirectory("kernel/iommu_groups");
  EXPECT_EQ(Run(), 1);
  EXPECT_THAT(daemon_->log(), AllOf(HasSubstr("kernel/iommu_groups"), HasSubstr("no IOMMU")));
}

TEST_F(CommandLineTest, NamesAKubeletFolderThatIsMissing) {
  AddDevice("0000:01:00.0", 11);
  EXPECT_EQ(Run({"--kubelet-dir", path("missing")}), 1);
  EXPECT_THAT(daemon_->log(), HasSubstr(path("missing/vfio-doorbell-nvme-")));
}

TEST_F(CommandLineTest, NamesAKubeletFolderThatCannotBeWritten) {
  AddDevice("0000:01:00.0", 11);
  // Where even root makes no socket.
  EXPECT_EQ(Run({"--kubelet-dir", "/proc/self"}), 1);
  EXPECT_THAT(daemon_->log(), HasSubstr("cannot listen on /proc/self/vfio-doorbell-nvme-"));
}

TEST_F(CommandLineTest, NamesASocketPathThatIsTooLong) {
  AddDevice("0000:01:00.0", 11);
  const std::string folder = path(std::string(90, 'x'));
  std::filesystem::create_directory(folder);
  EXPECT_EQ(Run({"--kubelet-dir", folder}), 1);
  EXPECT_THAT(daemon_->log(), AllOf(HasSubstr(folder), HasSubstr("107 bytes")));
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST_F(CommandLineTest, NamesAStateFolderThatCannotBeWritten) {
  AddDevice("0000:01:00.0", 11);
  EXPECT_EQ(Run({"--state-dir", "/proc/vfio-doorbell"}), 1);
  EXPECT_THAT(daemon_->log(), HasSubstr("/proc/vfio-doorbell"));
  EXPECT_TRUE(std::filesystem::is_empty(path("plugins")));
}

TEST_F(CommandLineTest, NamesALedgerFolderThatCannotBeWritten) {
  AddDevice("0000:01:00.0", 11);
  EXPECT_EQ(Run({"--data-dir", "/proc/vfio-doorbell"}), 1);
  EXPECT_THAT(daemon_->log(), HasSubstr("/proc/vfio-doorbell"));
  EXPECT_TRUE(std::filesystem::is_empty(path("plugins")));
}

TEST_F(CommandLineTest, LeavesAloneWhatIsNoSocket) {
  AddDevice("0000:01:00.0", 11);
  StartAndList(1);
  const std::string socket = kubelet_.Get(kResource).endpoint;
  Stop();
  std::ofstream(socket) << "precious";
  Start();
  EXPECT_EQ(kubelet_.WaitForRegistrations(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_EQ(ReadAll(socket), "precious");
}

TEST_F(CommandLineTest, RemovesTheSocketOfACrashedRun) {
  AddDevice("0000:01:00.0", 11);
  StartAndList(1);
  const std::string socket = kubelet_.Get(kResource).endpoint;
  daemon_.reset();  // killed
  EXPECT_TRUE(std::filesystem::exists(socket));
  Start();
  EXPECT_EQ(kubelet_.WaitForRegistrations(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_FALSE(std::filesystem::exists(socket));
}

TEST_F(CommandLineTest, ReleasesNothingWhereNothingIsReserved) {
  AddDevice("0000:01:00.0", 11);
  EXPECT_EQ(Run({"--release"}), 0);
  EXPECT_EQ(daemon_->output(), "");
}

TEST_F(CommandLineTest, SaysWhatItCannotTellWhenItReleases) {
  AddDevice("0000:01:00.0", 11);
  AddDevice("0000:02:00.0", 12);
  sysfs_.SetMsiWindow(11, "0x09100000 0x00100000");
  sysfs_.SetMsiWindow(12, "garbage");
  EXPECT_EQ(Run({"--release"}), 1);
  EXPECT_THAT(daemon_->output(), AllOf(HasSubstr("released 0x09100000 0x00100000"),
                                       HasSubstr("unknown  "), HasSubstr("iommu_groups/12")));
}

TEST_F(CommandLineTest, LogsJson) {
  AddDevice("0000:01:00.0", 11);
  kubelet_.Start();
  Start({"--log-format", "json"});
  ASSERT_TRUE(daemon_->WaitForLog(R"("message":"registered")")) << daemon_->log();
}

}  // namespace
}  // namespace dp::integration
