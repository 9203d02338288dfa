// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "tests/integration/world.h"

// Another configuration for a daemon that runs.

namespace dp::integration {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kNic[] = "vendor.example/nic";
constexpr char kNvmeOnly[] = R"(
resources:
  - name: vendor.example/nvme
    selectors:
      - {addresses: ["0000:01:*"]}
)";
constexpr char kBoth[] = R"(
resources:
  - name: vendor.example/nic
    selectors:
      - {addresses: ["0000:02:*"]}
  - name: vendor.example/nvme
    selectors:
      - {addresses: ["0000:01:*"]}
)";

class ReloadTest : public World {
 protected:
  ReloadTest() {
    AddDevice("0000:01:00.0", 11);
    AddDevice("0000:02:00.0", 12);
    WriteConfig(kNvmeOnly);
  }
  [[nodiscard]] std::size_t CountSockets() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path("plugins"))) {
      if (entry.path().filename().string().starts_with("vfio-doorbell-")) ++count;
    }
    return count;
  }
};

TEST_F(ReloadTest, AddsAndRemovesAResourceAndLeavesTheOtherAlone) {
  StartAndList(1);
  WriteConfig(kBoth);
  ASSERT_EQ(kubelet_.WaitForDevices(kNic, 1), absl::OkStatus()) << daemon_->log();
  v1beta1::ContainerAllocateResponse response;
  EXPECT_TRUE(kubelet_.Allocate(kNic, {"0000:02:00.0"}, &response).ok());
  EXPECT_EQ(CountSockets(), 2U);

  WriteConfig(kNvmeOnly);
  EXPECT_EQ(kubelet_.WaitFor(kNic, "its stream to end",
                             [](const auto& resource) { return !resource.watching; }),
            absl::OkStatus())
      << daemon_->log();
  EXPECT_TRUE(kubelet_.Get(kNic).watch_status.ok());
  EXPECT_EQ(CountSockets(), 1U);
  const auto nvme = kubelet_.Get(kResource);
  EXPECT_TRUE(nvme.watching);
  EXPECT_EQ(nvme.registrations, 1);
  EXPECT_EQ(nvme.lists, 1);

  // And once more, at the place it had before.
  WriteConfig(kBoth);
  ASSERT_EQ(kubelet_.WaitForRegistrations(kNic, 2), absl::OkStatus()) << daemon_->log();
  ASSERT_EQ(kubelet_.WaitForDevices(kNic, 1), absl::OkStatus()) << daemon_->log();
  Stop();
}

TEST_F(ReloadTest, ChangesWhatAResourceSelects) {
  StartAndList(1);
  WriteConfig(R"(
resources:
  - name: vendor.example/nvme
    selectors:
      - {vendor: "1b36"}
)");
  EXPECT_EQ(kubelet_.WaitForDevices(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_EQ(kubelet_.Get(kResource).registrations, 1);
}

TEST_F(ReloadTest, RefusesABadOneWholeAndSaysWhere) {
  StartAndList(1);
  WriteConfig(R"(
window: {size: 3}
resources:
  - name: vendor.example/nic
    selectors:
      - {addresses: ["0000:02:*"]}
)");
  ASSERT_TRUE(daemon_->WaitForLog("configuration refused")) << daemon_->log();
  EXPECT_THAT(daemon_->log(), AllOf(HasSubstr(path("config.yaml") + ":2:"), HasSubstr("window")));
  WriteConfig(R"(
resources:
  - name: vendor.example/nic
    selectors:
      - {vendor: "1b36"}
  - name: vendor.example/nvme
    selectors:
      - {vendor: "1b36"}
)");
  ASSERT_TRUE(daemon_->WaitForLog("configuration refused", 2)) << daemon_->log();
  EXPECT_THAT(daemon_->log(), HasSubstr("both select IOMMU group"));
  EXPECT_TRUE(kubelet_.Allocate(kResource, {"0000:01:00.0"}, nullptr).ok());
  EXPECT_EQ(kubelet_.Get(kNic).registrations, 0);
}

TEST_F(ReloadTest, ReadsItWhenToldToo) {
  StartAndList(1);
  daemon_->Signal(SIGHUP);
  EXPECT_TRUE(daemon_->WaitForLog("configuration read")) << daemon_->log();
  Stop();
}

TEST_F(ReloadTest, EndsWhileAResourceIsBeingRemoved) {
  WriteConfig(kBoth);
  StartAndList(1);
  ASSERT_EQ(kubelet_.WaitForDevices(kNic, 1), absl::OkStatus()) << daemon_->log();
  WriteConfig(kNvmeOnly);
  daemon_->Signal(SIGHUP);
  Stop();
}

}  // namespace
}  // namespace dp::integration
