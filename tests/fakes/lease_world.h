// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/broker_world.h"

// A node with devices of two resources, and pods that have some of each.
namespace dp::fakes {

inline constexpr std::uint64_t kMiB = 0x100000;
inline constexpr std::size_t kNvme = 0;
inline constexpr std::size_t kNic = 1;
inline constexpr char kNvmeName[] = "vendor.example/nvme";
inline constexpr char kNicName[] = "vendor.example/nic";

inline core::Window At(std::uint64_t cell) {
  return {.base = 0x09000000 + cell * kMiB, .size = kMiB};
}
inline std::string Nvme(std::uint32_t number) {
  return "0000:0" + std::to_string(number) + ":00.0";
}
inline std::string Nic(std::uint32_t number) { return "0000:1" + std::to_string(number) + ":00.0"; }

// Groups 1 to 3 are NVMes, 11 to 13 are NICs; a pool of four windows.
class LeaseWorld : public ::testing::Test {
 protected:
  LeaseWorld() {
    for (std::uint32_t number = 1; number <= 3; ++number) {
      host_.AddGroup(GroupOf(number, {NvmeFunction(Nvme(number))}));
      host_.AddGroup(GroupOf(10 + number, {NvmeFunction(Nic(number))}));
    }
    core::Selector nvme;
    nvme.addresses = {"0000:0*"};
    core::Selector nic;
    nic.addresses = {"0000:1*"};
    world_.config.resources = {{.name = kNvmeName, .selectors = {nvme}, .line = 1},
                               {.name = kNicName, .selectors = {nic}, .line = 2}};
    world_.config.pool = {.start = 0x09000000, .end = 0x09000000 + 4 * kMiB, .window_size = kMiB};
  }

  void Start() {
    const absl::Status status = world_.Start();
    ASSERT_TRUE(status.ok()) << status;
  }
  // The kernel of another boot: no window is moved.
  void Reboot() {
    for (core::Group& group : host_.inventory.groups) group.window = core::kFixedWindow;
    knob_.busy.clear();
    world_.boot_id += "-and-another";
    settings_.settings.clear();
    Start();
  }
  void Allocate(std::size_t resource, std::vector<std::string> devices) {
    const absl::Status status = world_.Allocate(resource, std::move(devices));
    ASSERT_TRUE(status.ok()) << status;
  }
  void Check(std::size_t resource, std::vector<std::string> devices) {
    const absl::Status status = world_.Check(resource, std::move(devices));
    ASSERT_TRUE(status.ok()) << status;
  }
  // A pod with an NVMe and a NIC, admitted.
  void AdmitVm() {
    Allocate(kNvme, {Nvme(1)});
    Allocate(kNic, {Nic(1)});
    pods_.Add("vm", kNvmeName, {Nvme(1)});
    pods_.Add("vm", kNicName, {Nic(1)});
  }
  [[nodiscard]] std::vector<core::Reservation> ledger() const {
    return world_.ledger.ledger->reservations;
  }

  BrokerWorld world_;
  FakeHost& host_ = world_.host;
  FakeMsiWindowKnob& knob_ = world_.knob;
  FakeSettingsStore& settings_ = world_.settings;
  FakePodLister& pods_ = world_.pods;
  FakeTimers& timers_ = world_.timers;
};

}  // namespace dp::fakes
