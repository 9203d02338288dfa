// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/recorded_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dp::ctl {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr core::Window kFirst{.base = 0x09100000, .size = 0x100000};
constexpr core::Window kSecond{.base = 0x09200000, .size = 0x100000};

core::Group GroupOf(std::uint32_t number, const std::string& address, core::Window window) {
  core::Function function;
  function.name = address;
  function.pci = core::PciIdentity{.address = core::ParsePciAddress(address).value(),
                                   .vendor = 0x1b36,
                                   .device = 0x10,
                                   .class_code = 0x010802};
  function.driver = "vfio-pci";
  return {.number = number,
          .functions = {function},
          .reserved_regions = {},
          .knob = core::Knob::kPresent,
          .window = window};
}

core::Ledger LedgerOf(const std::string& device, std::uint32_t group) {
  core::Reservation reservation;
  reservation.window = kFirst;
  reservation.pod = {.space = "default", .name = "vm-a"};
  reservation.started = true;
  reservation.allocations = {
      {.resource = "vendor.example/nvme",
       .holdings = {{.device = device, .group = group, .members = device, .reserved = true}},
       .cdi = false,
       .since_ms = 1000}};
  return {.generation = 1, .boot_id = "this", .reservations = {reservation}};
}

core::Config ConfigOf(const std::string& resource) {
  core::Config config;
  core::Selector selector;
  selector.vendor = 0x1b36;
  config.resources = {{.name = resource, .selectors = {selector}}};
  return config;
}

TEST(RecordedNodeTest, JoinsLedgerConfigurationAndKernel) {
  Records records{.ledger = LedgerOf("0000:01:00.0", 7),
                  .config = ConfigOf("vendor.example/nvme"),
                  .host = {.groups = {GroupOf(7, "0000:01:00.0", kFirst),
                                      GroupOf(8, "0000:02:00.0", core::kFixedWindow)},
                           .skipped = {}},
                  .boot_id = "this"};
  Node node = NodeFrom(records);
  AddKernel(records.host, node);
  EXPECT_EQ(node.daemon, std::nullopt);
  EXPECT_EQ(node.free_windows, 110U);
  EXPECT_THAT(node.leftovers, IsEmpty());
  ASSERT_THAT(node.devices, SizeIs(2));
  const Device& device = node.devices[0];
  EXPECT_EQ(device.id, "0000:01:00.0");
  EXPECT_EQ(device.group, 7U);
  EXPECT_EQ(device.state, State::kStarted);
  EXPECT_EQ(device.window, kFirst);
  EXPECT_EQ(device.kernel.window, kFirst);
  EXPECT_EQ(device.pod->name, "vm-a");
  EXPECT_EQ(device.since_ms, 1000);
  EXPECT_EQ(node.devices[1].state, State::kFree);
  EXPECT_FALSE(Differs(node.devices[0]));
  EXPECT_FALSE(Differs(node.devices[1]));
}

TEST(RecordedNodeTest, FindsGroupsOfAnotherBootByTheirDevices) {
  Records records{
      .ledger = LedgerOf("0000:01:00.0", 7),
      .config = {},
      .host = {.groups = {GroupOf(3, "0000:01:00.0", core::kFixedWindow)}, .skipped = {}},
      .boot_id = "another"};
  Node node = NodeFrom(records);
  AddKernel(records.host, node);
  ASSERT_THAT(node.devices, SizeIs(1));
  EXPECT_EQ(node.devices[0].group, 3U);
  EXPECT_EQ(node.devices[0].driver, "vfio-pci");
  EXPECT_TRUE(Differs(node.devices[0]));
}

TEST(RecordedNodeTest, ShowsWindowsThatNobodyKnowsOf) {
  Records records{.ledger = {},
                  .config = {},
                  .host = {.groups = {GroupOf(3, "0000:01:00.0", kSecond),
                                      GroupOf(4, "0000:02:00.0", core::kFixedWindow)},
                           .skipped = {}},
                  .boot_id = "this"};
  Node node = NodeFrom(records);
  ASSERT_THAT(node.devices, SizeIs(1));
  EXPECT_EQ(node.devices[0].state, State::kUnknown);
  ASSERT_THAT(node.leftovers, SizeIs(1));
  EXPECT_EQ(node.leftovers[0].window, kSecond);
}

TEST(RecordedNodeTest, KnowsNoWindowOfADeviceThatIsGone) {
  Records records{
      .ledger = LedgerOf("0000:05:00.0", 0),
      .config = {},
      .host = {.groups = {GroupOf(0, "0000:01:00.0", core::kFixedWindow)}, .skipped = {}},
      .boot_id = "this"};
  Node node = NodeFrom(records);
  AddKernel(records.host, node);
  ASSERT_THAT(node.devices, SizeIs(1));
  EXPECT_FALSE(node.devices[0].kernel.is_read);
  EXPECT_NE(node.devices[0].kernel.error, "");
}

}  // namespace
}  // namespace dp::ctl
