// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "plugin/os/unix_connect.h"
#include "tests/integration/world.h"

// Kubelets that come and go, and daemons too.

namespace dp::integration {
namespace {

using ::testing::HasSubstr;

class LifecycleTest : public World {
 protected:
  LifecycleTest() {
    AddDevice("0000:01:00.0", 11);
    AddDevice("0000:02:00.0", 12);
  }
  [[nodiscard]] std::vector<std::string> Sockets() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path("plugins"))) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
};

TEST_F(LifecycleTest, RegistersWhatItServes) {
  StartAndList(2);
  const auto resource = kubelet_.Get(kResource);
  EXPECT_TRUE(resource.options.pre_start_required());
  EXPECT_TRUE(resource.options.get_preferred_allocation_available());
  EXPECT_EQ(resource.registrations, 1);
  EXPECT_EQ(resource.lists, 1);
}

TEST_F(LifecycleTest, WaitsForALateKubeletAndSaysSoOnce) {
  Start();
  ASSERT_TRUE(daemon_->WaitForLog("waiting for the kubelet")) << daemon_->log();
  kubelet_.Start();
  EXPECT_EQ(kubelet_.WaitForDevices(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_EQ(daemon_->CountInLog("waiting for the kubelet"), 1) << daemon_->log();
}

TEST_F(LifecycleTest, ComesBackToAKubeletThatRestarts) {
  StartAndList(2);
  ASSERT_TRUE(kubelet_.Allocate(kResource, {"0000:01:00.0"}, nullptr).ok());
  for (int i = 2; i <= 10; ++i) {
    kubelet_.Restart();
    ASSERT_EQ(kubelet_.WaitForRegistrations(kResource, i), absl::OkStatus()) << daemon_->log();
    ASSERT_EQ(kubelet_.WaitForDevices(kResource, 2), absl::OkStatus()) << daemon_->log();
  }
  // What was reserved before is reserved now.
  EXPECT_TRUE(kubelet_.PreStartContainer(kResource, {"0000:01:00.0"}).ok());
  ASSERT_TRUE(kubelet_.Allocate(kResource, {"0000:02:00.0"}, nullptr).ok());
  EXPECT_EQ(WindowOf(11), "0x09100000 0x00100000");
  EXPECT_EQ(WindowOf(12), "0x09200000 0x00100000");
}

TEST_F(LifecycleTest, LooksAtTheHostAgainWhenTheKubeletRestarts) {
  StartAndList(2);
  AddDevice("0000:03:00.0", 13);
  kubelet_.Restart();
  EXPECT_EQ(kubelet_.WaitForDevices(kResource, 3), absl::OkStatus()) << daemon_->log();
}

TEST_F(LifecycleTest, SurvivesAKubeletThatRefusesAndLogsItsReason) {
  kubelet_.RefuseRegistrations({grpc::StatusCode::UNKNOWN, "the resource name is invalid"});
  kubelet_.Start();
  Start();
  ASSERT_EQ(kubelet_.WaitForRegisterCalls(4), absl::OkStatus()) << daemon_->log();
  kubelet_.RefuseRegistrations(grpc::Status::OK);
  EXPECT_EQ(kubelet_.WaitForDevices(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_EQ(daemon_->CountInLog("the resource name is invalid"), 1) << daemon_->log();
}

TEST_F(LifecycleTest, HasASocketForEachRegistration) {
  StartAndList(2);
  const std::string socket = kubelet_.Get(kResource).endpoint;
  kubelet_.Restart();
  ASSERT_EQ(kubelet_.WaitForRegistrations(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_NE(kubelet_.Get(kResource).endpoint, socket);
  EXPECT_EQ(Sockets().size(), 2U) << "the former socket is still there";
}

TEST_F(LifecycleTest, NeedsNoSocketWhileTheKubeletIsConnected) {
  StartAndList(2);
  std::filesystem::remove(kubelet_.Get(kResource).endpoint);
  EXPECT_TRUE(kubelet_.Allocate(kResource, {"0000:01:00.0"}, nullptr).ok());
  kubelet_.Restart();
  EXPECT_EQ(kubelet_.WaitForDevices(kResource, 2), absl::OkStatus()) << daemon_->log();
}

TEST_F(LifecycleTest, LeavesNothingBehind) {
  for (const int signal : {SIGTERM, SIGINT}) {
    StartAndList(2);
    EXPECT_EQ(Sockets().size(), 2U);
    daemon_->Signal(signal);
    ASSERT_EQ(daemon_->Wait(), 0) << daemon_->log();
    EXPECT_THAT(Sockets(), ::testing::ElementsAre("kubelet.sock"));
    ASSERT_EQ(kubelet_.WaitFor(kResource, "an ended stream",
                               [](const auto& resource) { return !resource.watching; }),
              absl::OkStatus());
    EXPECT_TRUE(kubelet_.Get(kResource).watch_status.ok()) << "the stream was cut off";
    kubelet_.Stop();
  }
}

TEST_F(LifecycleTest, EndsWithoutAKubeletToo) {
  Start();
  ASSERT_TRUE(daemon_->WaitForLog("waiting for the kubelet")) << daemon_->log();
  Stop();
  EXPECT_TRUE(Sockets().empty());
}

TEST_F(LifecycleTest, EndsAlthoughAClientDoesNot) {
  StartAndList(2);
  const std::string socket = kubelet_.Get(kResource).endpoint;
  const auto silent = os::ConnectUnix(socket);
  ASSERT_TRUE(silent.ok()) << silent.status();
  const auto half = os::ConnectUnix(socket);
  ASSERT_TRUE(half.ok()) << half.status();
  // The preface of HTTP/2 and empty settings; then nothing, not even an answer to a ping.
  constexpr std::string_view kPreface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  ASSERT_EQ(::write(half->get(), kPreface.data(), kPreface.size()),
            static_cast<ssize_t>(kPreface.size()));
  Stop();
  EXPECT_THAT(Sockets(), ::testing::ElementsAre("kubelet.sock"));
}

TEST_F(LifecycleTest, AdoptsWhatAFormerRunReserved) {
  StartAndList(2);
  ASSERT_TRUE(kubelet_.Allocate(kResource, {"0000:01:00.0"}, nullptr).ok());
  daemon_->Signal(SIGKILL);
  ASSERT_EQ(daemon_->Wait(), -SIGKILL);
  Start();
  ASSERT_EQ(kubelet_.WaitForRegistrations(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_TRUE(kubelet_.PreStartContainer(kResource, {"0000:01:00.0"}).ok());
  ASSERT_TRUE(kubelet_.Allocate(kResource, {"0000:02:00.0"}, nullptr).ok());
  EXPECT_EQ(WindowOf(11), "0x09100000 0x00100000");
  EXPECT_EQ(WindowOf(12), "0x09200000 0x00100000");
}

TEST_F(LifecycleTest, ReleasesWhatItLeftWhenTold) {
  StartAndList(2);
  ASSERT_TRUE(kubelet_.Allocate(kResource, {"0000:01:00.0"}, nullptr).ok());
  Stop();
  EXPECT_EQ(WindowOf(11), "0x09100000 0x00100000") << "a pod may still use it";
  Start({"--release"});
  EXPECT_EQ(daemon_->Wait(), 0);
  EXPECT_EQ(daemon_->output(), "released 0x09100000 0x00100000 of 0000:01:00.0 (IOMMU group 11)\n");
  EXPECT_THAT(WindowOf(11), HasSubstr("default"));
  EXPECT_EQ(WindowOf(12), "0x08000000 0x00100000");
}

}  // namespace
}  // namespace dp::integration
