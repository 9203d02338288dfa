// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "plugin/ledger/ledger_json.h"
#include "plugin/os/boot_id.h"
#include "tests/fakes/fake_admin_server.h"
#include "tests/fakes/sysfs_tree.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::ctl {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// One device of a pod, in the kernel and, as each test likes, in the ledger and with the daemon.
class HostTest : public testing::Test {
 protected:
  HostTest() {
    sysfs_.AddPciFunction({.address = "0000:01:00.0", .group = 7});
    sysfs_.SetMsiWindow(7, "0x09100000 0x00100000");
    places_.socket = folder_.path() + "/admin.sock";
    places_.sysfs_root = sysfs_.path();
    places_.data_dir = folder_.path();
    places_.config = folder_.path() + "/config.yaml";
  }

  void WriteLedger(const std::string& text) const {
    std::ofstream(folder_.path() + "/ledger.json") << text;
  }

  static core::Ledger SomeLedger() {
    core::Reservation reservation;
    reservation.window = core::Window{.base = 0x09100000, .size = 0x100000};
    reservation.pod = {.space = "default", .name = "vm-a"};
    core::Allocation allocation;
    allocation.resource = "vendor.example/nvme";
    allocation.holdings = {
        {.device = "0000:01:00.0", .group = 7, .members = "0000:01:00.0", .reserved = true}};
    reservation.allocations = {allocation};
    return {.generation = 1, .boot_id = os::ReadBootId(), .reservations = {reservation}};
  }

  fakes::TemporaryFolder folder_;
  fakes::SysfsTree sysfs_;
  Places places_;
};

TEST_F(HostTest, AsksTheDaemonAndTheKernel) {
  fakes::FakeAdminServer server(places_.socket);
  server.Start();
  vfio_doorbell::admin::v1::NodeState state;
  state.mutable_daemon()->set_version("0.1.0");
  state.add_devices()->set_id("0000:01:00.0");
  server.SetState(std::move(state));
  const auto reading = ReadHost(places_);
  ASSERT_TRUE(reading.ok()) << reading.status();
  EXPECT_THAT(reading->notes, IsEmpty());
  ASSERT_THAT(reading->node.devices, SizeIs(1));
  EXPECT_EQ(reading->node.devices[0].kernel.window->base, 0x09100000U);
}

TEST_F(HostTest, ReadsLedgerAndKernelWithoutADaemonAndSaysSo) {
  const std::string text = ledger::Encode(SomeLedger());
  WriteLedger(text);
  std::ofstream(places_.config)
      << "version: v1\nresources: [{name: vendor.example/nvme, selectors: [{vendor: \"1b36\"}]}]\n";
  const auto reading = ReadHost(places_);
  ASSERT_TRUE(reading.ok()) << reading.status();
  EXPECT_TRUE(reading->is_complete);
  ASSERT_FALSE(reading->notes.empty());
  EXPECT_THAT(reading->notes[0], HasSubstr("the daemon does not answer"));
  EXPECT_THAT(reading->notes[0], HasSubstr(places_.socket));
  ASSERT_THAT(reading->node.devices, SizeIs(1));
  EXPECT_EQ(reading->node.devices[0].pod->name, "vm-a");
  EXPECT_FALSE(Differs(reading->node.devices[0]));
  // It is still the daemon's.
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/ledger.json.unreadable-1"));
}

TEST_F(HostTest, LeavesADamagedLedgerWhereItIs) {
  WriteLedger("{");
  const auto reading = ReadHost(places_);
  ASSERT_TRUE(reading.ok()) << reading.status();
  EXPECT_FALSE(reading->is_complete);
  EXPECT_THAT(reading->notes, Contains(HasSubstr("ledger.json is not readable")));
  EXPECT_TRUE(std::filesystem::exists(folder_.path() + "/ledger.json"));
}

TEST_F(HostTest, SaysWhatIsNotReadable) {
  places_.sysfs_root = folder_.path();
  const auto reading = ReadHost(places_);
  EXPECT_EQ(reading.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(reading.status().message()), HasSubstr("kernel/iommu_groups"));
}

TEST_F(HostTest, NamesAGroupThatCannotBeRead) {
  sysfs_.AddFile("kernel/iommu_groups/7/msi_window", "nonsense\n");
  const auto reading = ReadHost(places_);
  ASSERT_TRUE(reading.ok()) << reading.status();
  EXPECT_THAT(reading->notes, Contains(HasSubstr("kernel/iommu_groups/7/msi_window")));
}

}  // namespace
}  // namespace dp::ctl
