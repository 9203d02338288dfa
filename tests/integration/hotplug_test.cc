// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "tests/fakes/uevent_sender.h"
#include "tests/integration/world.h"

// Devices that come and go. The uevents are the kernel's own, of devices that are in the fake sysfs
// only; the daemon runs in the network namespace into which they are sent.

namespace dp::integration {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;
using Clock = fakes::FakeKubelet::Clock;

constexpr char kFirst[] = "0000:01:00.0";
constexpr char kSecond[] = "0000:02:00.0";

// Of the i-th of many functions, on this bus and those after it.
std::string AddressOf(std::uint32_t bus, std::uint32_t i) {
  return fmt::format("0000:{:02x}:{:02x}.0", bus + i / 32, i % 32);
}

class HotplugTest : public World {
 protected:
  HotplugTest() {
    Bind(kFirst, 11);
    Bind(kSecond, 12);
  }

  void RemoveNode(const std::string& name) const {
    std::filesystem::remove(path("dev/vfio/" + name));
  }
  // What binding a device to vfio-pci leaves, and what unbinding it does.
  void Bind(const std::string& address, std::uint32_t group) { AddDevice(address, group); }
  void Unbind(const std::string& address, std::uint32_t group) {
    RemoveNode(std::to_string(group));
    sysfs_.Remove(fakes::SysfsTree::PciDirectory(address) + "/driver");
    sysfs_.AddPciFunction({.address = address, .group = group, .driver = ""});
  }
  void RemoveGroup(const std::string& address, std::uint32_t group) {
    RemoveNode(std::to_string(group));
    sysfs_.Remove(fakes::SysfsTree::GroupDirectory(group));
    sysfs_.Remove("bus/pci/devices/" + address);
    sysfs_.Remove(fakes::SysfsTree::PciDirectory(address));
  }
  void Say(const std::string& action, const std::string& address) {
    sender_.Send(action, "/" + fakes::SysfsTree::PciDirectory(address), "pci");
  }

  absl::Status WaitForHealth(const std::string& device, const std::string& health) {
    return kubelet_.WaitFor(kResource, device + " " + health, [&](const auto& resource) {
      const auto found = resource.devices.find(device);
      return found != resource.devices.end() && found->second.health() == health;
    });
  }
  // Starts both and waits until the look after the registration is over.
  void StartAndSettle(std::size_t devices, std::vector<std::string> more = {}) {
    kubelet_.Start();
    more.insert(more.end(), {"--log-level", "debug"});
    Start(std::move(more));
    ASSERT_EQ(kubelet_.WaitForDevices(kResource, devices), absl::OkStatus()) << daemon_->log();
    ASSERT_TRUE(daemon_->WaitForLog("rescanned")) << daemon_->log();
  }

  fakes::UeventSender sender_;
};

TEST_F(HotplugTest, TellsThatADriverWasUnboundAndThatItIsBack) {
  StartAndSettle(2);
  Unbind(kFirst, 11);
  Say("unbind", kFirst);
  ASSERT_EQ(WaitForHealth(kFirst, "Unhealthy"), absl::OkStatus()) << daemon_->log();
  EXPECT_EQ(kubelet_.Get(kResource).devices.at(kSecond).health(), "Healthy");
  EXPECT_THAT(daemon_->log(), HasSubstr("0000:01:00.0 has no driver"));
  const auto bound = Clock::now();
  Bind(kFirst, 11);
  Say("bind", kFirst);
  ASSERT_EQ(WaitForHealth(kFirst, "Healthy"), absl::OkStatus()) << daemon_->log();
  EXPECT_GE(kubelet_.Get(kResource).listed_at - bound, 1s) << "it had not settled";
  EXPECT_TRUE(kubelet_.Allocate(kResource, {kFirst}, nullptr).ok());
}

TEST_F(HotplugTest, TellsThatAFunctionWasRemoved) {
  StartAndSettle(2);
  RemoveGroup(kFirst, 11);
  Say("remove", kFirst);
  EXPECT_EQ(kubelet_.WaitForDevices(kResource, 1), absl::OkStatus()) << daemon_->log();
  EXPECT_TRUE(daemon_->WaitForLog("device gone")) << daemon_->log();
}

TEST_F(HotplugTest, FollowsVirtualFunctionsInFewLists) {
  StartAndSettle(2);
  const int before = kubelet_.Get(kResource).lists;
  constexpr std::uint32_t kFunctions = 64;
  const auto place = [](std::uint32_t i) { return std::pair(AddressOf(3, i), 100 + i); };
  for (std::uint32_t i = 0; i < kFunctions; ++i) {
    const auto [function, group] = place(i);
    Bind(function, group);
    Say("add", function);
    sender_.Send("add", fmt::format("/devices/virtual/vfio/{}", group), "vfio");
    Say("bind", function);
  }
  ASSERT_EQ(kubelet_.WaitForDevices(kResource, 2 + kFunctions), absl::OkStatus()) << daemon_->log();
  for (std::uint32_t i = 0; i < kFunctions; ++i) {
    const auto [function, group] = place(i);
    RemoveGroup(function, group);
    sender_.Send("remove", fmt::format("/devices/virtual/vfio/{}", group), "vfio");
    Say("remove", function);
  }
  ASSERT_EQ(kubelet_.WaitForDevices(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_LT(kubelet_.Get(kResource).lists - before, static_cast<int>(kFunctions));
}

TEST_F(HotplugTest, MissesTheNodeOfAGroup) {
  StartAndSettle(2);
  RemoveNode("11");
  sender_.Send("remove", "/devices/virtual/vfio/11", "vfio");
  ASSERT_EQ(WaitForHealth(kFirst, "Unhealthy"), absl::OkStatus()) << daemon_->log();
  EXPECT_THAT(daemon_->log(), HasSubstr("its device node /dev/vfio/11 is missing"));
  const grpc::Status status = kubelet_.Allocate(kResource, {kFirst}, nullptr);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("/dev/vfio/11 is missing"));
}

TEST_F(HotplugTest, TellsThatAGroupHasGotAnotherMember) {
  StartAndSettle(2);
  sysfs_.AddPciFunction({.address = "0000:02:00.1", .group = 12, .driver = "nvme"});
  Say("add", "0000:02:00.1");
  EXPECT_EQ(WaitForHealth(kSecond, "Unhealthy"), absl::OkStatus()) << daemon_->log();
}

TEST_F(HotplugTest, LooksAgainWhenItCannotTellWhatHappened) {
  StartAndSettle(2);
  Unbind(kFirst, 11);
  sender_.SendRaw("gibberish");
  EXPECT_EQ(WaitForHealth(kFirst, "Unhealthy"), absl::OkStatus()) << daemon_->log();
  EXPECT_TRUE(daemon_->WaitForLog("uevents lost")) << daemon_->log();
}

TEST_F(HotplugTest, IsNotDisturbedByOtherDevices) {
  StartAndSettle(2);
  for (int i = 0; i < 100; ++i) sender_.Send("change", "/devices/virtual/mem/null", "mem");
  Unbind(kFirst, 11);
  Say("unbind", kFirst);
  ASSERT_EQ(WaitForHealth(kFirst, "Unhealthy"), absl::OkStatus()) << daemon_->log();
  EXPECT_THAT(daemon_->log(),
              AllOf(HasSubstr("debug uevent action=unbind"), Not(HasSubstr("subsystem=mem"))));
}

TEST_F(HotplugTest, SeesAChangeThatNobodyToldOf) {
  StartAndSettle(2, {"--rescan-interval", "1"});
  Unbind(kFirst, 11);
  EXPECT_EQ(WaitForHealth(kFirst, "Unhealthy"), absl::OkStatus()) << daemon_->log();
  EXPECT_THAT(daemon_->log(), Not(HasSubstr("changes are seen late")));
}

TEST_F(HotplugTest, GoesOnWithoutUevents) {
  kubelet_.Start();
  std::vector<std::string> arguments = Locations();
  for (const char* argument : {"--rescan-interval", "1"}) arguments.emplace_back(argument);
  daemon_ = std::make_unique<Daemon>(
      arguments, root_.path(), std::vector<std::string>{"unshare", "--user", "--map-root-user"});
  ASSERT_EQ(kubelet_.WaitForDevices(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_THAT(daemon_->log(),
              AllOf(HasSubstr("changes are seen late"), HasSubstr("reason=no_uevents seconds=1"),
                    HasSubstr("network namespaces of a user namespace")));
  for (const bool bound : {false, true}) {
    bound ? Bind(kFirst, 11) : Unbind(kFirst, 11);
    ASSERT_EQ(WaitForHealth(kFirst, bound ? "Healthy" : "Unhealthy"), absl::OkStatus())
        << daemon_->log();
  }
  EXPECT_EQ(daemon_->CountInLog("changes are seen late"), 1) << daemon_->log();
  Stop();
}

// The daemon's promise; `make bench` measures it on large hosts. The best of several tries, because
// the machine may be busy with other tests.
TEST_F(HotplugTest, TellsWithin50Milliseconds) {
  constexpr std::uint32_t kGroups = 16;
  for (std::uint32_t i = 0; i < kGroups; ++i) Bind(AddressOf(16, i), 1000 + i);
  StartAndSettle(2 + kGroups);
  auto best = Clock::duration::max();
  for (std::uint32_t i = 0; i < kGroups; ++i) {
    const std::string address = AddressOf(16, i);
    Unbind(address, 1000 + i);
    const auto begin = Clock::now();
    Say("unbind", address);
    ASSERT_EQ(WaitForHealth(address, "Unhealthy"), absl::OkStatus()) << daemon_->log();
    best = std::min(best, kubelet_.Get(kResource).listed_at - begin);
  }
  EXPECT_LT(best, 50ms);
}

}  // namespace
}  // namespace dp::integration
