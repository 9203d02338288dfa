// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/fakes/fake_pod_resources.h"
#include "tests/integration/world.h"

// How long a window is whose, with a kubelet that lists its pods.

namespace dp::integration {
namespace {

using ::testing::HasSubstr;

constexpr char kNic[] = "vendor.example/nic";
constexpr char kNvmeDevice[] = "0000:01:00.0";
constexpr char kNicDevice[] = "0000:02:00.0";

class LeaseTest : public World {
 protected:
  LeaseTest() : pods_(path("pods.sock")) {
    WriteConfig(R"(
resources:
  - name: vendor.example/nvme
    selectors:
      - {addresses: ["0000:01:*"]}
  - name: vendor.example/nic
    selectors:
      - {addresses: ["0000:02:*"]}
)");
    AddDevice(kNvmeDevice, 11);
    AddDevice(kNicDevice, 12);
    pods_.Start();
  }

  void StartDaemon() {
    const int registered = kubelet_.Get(kNic).registrations;
    Start({"--release-grace", "1"});
    ASSERT_EQ(kubelet_.WaitForRegistrations(kNic, registered + 1), absl::OkStatus())
        << daemon_->log();
    ASSERT_EQ(kubelet_.WaitForDevices(kNic, 1), absl::OkStatus()) << daemon_->log();
    ASSERT_EQ(kubelet_.WaitForDevices(kResource, 1), absl::OkStatus()) << daemon_->log();
  }
  // A pod with one device of each resource, up to its start.
  void RunVm() {
    ASSERT_TRUE(kubelet_.Allocate(kResource, {kNvmeDevice}, nullptr).ok());
    ASSERT_TRUE(kubelet_.Allocate(kNic, {kNicDevice}, nullptr).ok());
    pods_.SetPods({{.pod = {.space = "default", .name = "vm"},
                    .container = "compute",
                    .resource = kResource,
                    .devices = {kNvmeDevice}},
                   {.pod = {.space = "default", .name = "vm"},
                    .container = "compute",
                    .resource = kNic,
                    .devices = {kNicDevice}}});
    Restart();
  }
  void Restart() {
    for (const auto& [resource, device] : {std::pair(kResource, kNvmeDevice), {kNic, kNicDevice}}) {
      const grpc::Status status = kubelet_.PreStartContainer(resource, {device});
      ASSERT_TRUE(status.ok()) << status.error_message();
    }
  }
  [[nodiscard]] nlohmann::json Ledger() const {
    return nlohmann::json::parse(ReadAll(path("data/ledger.json")))["content"]["reservations"];
  }
  [[nodiscard]] nlohmann::json SettingsOf(const std::string& device) const {
    return nlohmann::json::parse(ReadAll(path("state/" + device + "/settings.json")));
  }

  fakes::FakePodResources pods_;
};

TEST_F(LeaseTest, GivesAPodOneWindowAndTakesItBack) {
  kubelet_.Start();
  StartDaemon();
  RunVm();
  EXPECT_EQ(WindowOf(11), WindowOf(12));
  EXPECT_EQ(SettingsOf(kNvmeDevice)["window"], SettingsOf(kNicDevice)["window"]);
  ASSERT_EQ(Ledger().size(), 1U);
  EXPECT_EQ(Ledger()[0]["pod"]["name"], "vm");

  pods_.SetPods(std::vector<core::PodDevices>{});
  ASSERT_TRUE(daemon_->WaitForLog("reservation ended")) << daemon_->log();
  EXPECT_EQ(WindowOf(11), "default");
  EXPECT_EQ(WindowOf(12), "default");
  EXPECT_FALSE(std::filesystem::exists(path("state/") + kNvmeDevice));
}

TEST_F(LeaseTest, KeepsItOverACrash) {
  kubelet_.Start();
  StartDaemon();
  RunVm();
  const auto before = Ledger();
  const std::string window = WindowOf(11);
  daemon_->Signal(SIGKILL);
  ASSERT_EQ(daemon_->Wait(), -SIGKILL);
  StartDaemon();
  Restart();
  EXPECT_EQ(Ledger(), before);
  EXPECT_EQ(WindowOf(12), window);
}

TEST_F(LeaseTest, WritesItAgainAfterAReboot) {
  kubelet_.Start();
  StartDaemon();
  RunVm();
  const std::string window = WindowOf(11);
  daemon_->Signal(SIGKILL);
  ASSERT_EQ(daemon_->Wait(), -SIGKILL);
  sysfs_.SetMsiWindow(11, "0x08000000 0x00100000");
  sysfs_.SetMsiWindow(12, "0x08000000 0x00100000");
  std::filesystem::remove_all(path("state"));
  StartDaemon();
  Restart();
  EXPECT_EQ(WindowOf(11), window);
  EXPECT_EQ(WindowOf(12), window);
  EXPECT_EQ(SettingsOf(kNicDevice)["window"]["base"], "0x09100000");
}

TEST_F(LeaseTest, SetsALedgerAsideThatItCannotRead) {
  kubelet_.Start();
  StartDaemon();
  RunVm();
  Stop();
  std::ofstream(path("data/ledger.json")) << "{";
  StartDaemon();
  EXPECT_EQ(daemon_->CountInLog("ledger set aside"), 1) << daemon_->log();
  EXPECT_EQ(ReadAll(path("data/ledger.json.unreadable-1")), "{");
  Restart();
  ASSERT_EQ(Ledger().size(), 1U);
  EXPECT_EQ(Ledger()[0]["pod"]["name"], "vm");
  EXPECT_EQ(WindowOf(11), WindowOf(12));
}

TEST_F(LeaseTest, StartsPodsOfAKubeletThatDoesNotListThem) {
  kubelet_.Start();
  pods_.Stop();
  StartDaemon();
  ASSERT_TRUE(kubelet_.Allocate(kResource, {kNvmeDevice}, nullptr).ok());
  const grpc::Status status = kubelet_.PreStartContainer(kResource, {kNvmeDevice});
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(daemon_->log(), HasSubstr("pod not known"));
}

}  // namespace
}  // namespace dp::integration
