// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/describe_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugin/base/log.h"
#include "tests/fakes/lease_world.h"

namespace dp::core {
namespace {

using fakes::At, fakes::kNic, fakes::kNicName, fakes::kNvme, fakes::kNvmeName, fakes::Nic,
    fakes::Nvme;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

class DescribeNodeTest : public fakes::LeaseWorld {
 protected:
  DeviceStatus Of(const std::string& device) {
    for (DeviceStatus& status : world_.broker().Describe().devices) {
      if (status.id == device) return status;
    }
    ADD_FAILURE() << device << " is not described";
    return {};
  }
};

TEST_F(DescribeNodeTest, NamesEachDeviceOfEachResource) {
  Start();
  const NodeStatus node = world_.broker().Describe();
  EXPECT_THAT(node.devices,
              ElementsAre(Field(&DeviceStatus::id, Nvme(1)), Field(&DeviceStatus::id, Nvme(2)),
                          Field(&DeviceStatus::id, Nvme(3)), Field(&DeviceStatus::id, Nic(1)),
                          Field(&DeviceStatus::id, Nic(2)), Field(&DeviceStatus::id, Nic(3))));
  EXPECT_EQ(node.devices[0].resource, kNvmeName);
  EXPECT_EQ(node.devices[3].resource, kNicName);
  EXPECT_EQ(node.devices[0].state, DeviceState::kFree);
  EXPECT_EQ(node.devices[0].driver, "vfio-pci");
  EXPECT_EQ(node.windows, 4U);
  EXPECT_EQ(node.free_windows, 4U);
  EXPECT_EQ(node.groups_with_knob, 6U);
  EXPECT_EQ(node.groups_without_knob, 0U);
  EXPECT_THAT(node.leftovers, IsEmpty());
}

TEST_F(DescribeNodeTest, SaysWhoHasADeviceAndSinceWhen) {
  Start();
  const std::int64_t before = timers_.WallMs();
  AdmitVm();
  EXPECT_EQ(Of(Nvme(1)).state, DeviceState::kAllocated);
  EXPECT_FALSE(Of(Nvme(1)).pod.has_value());
  timers_.Advance(2s);
  Check(kNvme, {Nvme(1)});
  for (const auto& device : {Of(Nvme(1)), Of(Nic(1))}) {
    EXPECT_EQ(device.state, DeviceState::kStarted);
    EXPECT_EQ(device.pod, (PodName{"default", "vm"}));
    EXPECT_EQ(device.window, At(0));
    EXPECT_EQ(device.since_ms, before);
  }
  EXPECT_EQ(world_.broker().Describe().free_windows, 3U);
  Start();
  EXPECT_EQ(Of(Nvme(1)).since_ms, before) << "it is in the ledger";
}

TEST_F(DescribeNodeTest, SaysWhyADeviceIsUnhealthy) {
  Start();
  host_.Find(2)->functions[0].driver = "nvme";
  world_.broker().Rescan();
  EXPECT_EQ(Of(Nvme(2)).state, DeviceState::kUnhealthy);
  EXPECT_EQ(Of(Nvme(2)).reason, base::Reason::kForeignDriver);
  EXPECT_EQ(Of(Nvme(2)).driver, "nvme");
}

TEST_F(DescribeNodeTest, DoesNotForgetWhatNothingOffersAnyMore) {
  Start();
  AdmitVm();
  host_.RemoveGroup(1);
  world_.broker().Rescan();
  EXPECT_EQ(Of(Nvme(1)).resource, "");
  EXPECT_EQ(Of(Nvme(1)).group, 1U);
  EXPECT_EQ(Of(Nvme(1)).window, At(0));
}

TEST_F(DescribeNodeTest, NamesWindowsThatAreNobodys) {
  Start();
  Allocate(kNvme, {Nvme(1), Nvme(2)});
  knob_.busy = {2};
  Allocate(kNvme, {Nvme(1)});
  EXPECT_THAT(world_.broker().Describe().leftovers,
              ElementsAre(LeftoverStatus{.device = Nvme(2), .group = 2, .window = At(0)}));
}

TEST_F(DescribeNodeTest, SaysWhyNoWindowCanBeMoved) {
  knob_.closed = absl::PermissionDeniedError("cannot open it");
  Start();
  EXPECT_EQ(world_.broker().Describe().knob_error, "cannot open it");
  const auto said = log::CountOf(base::Reason::kKnobNotWritable);
  world_.broker().Rescan();
  EXPECT_EQ(log::CountOf(base::Reason::kKnobNotWritable), said);
  knob_.closed = absl::OkStatus();
  world_.broker().Rescan();
  EXPECT_EQ(world_.broker().Describe().knob_error, "");
  knob_.closed = absl::PermissionDeniedError("cannot open it");
  world_.broker().Rescan();
  EXPECT_EQ(log::CountOf(base::Reason::kKnobNotWritable), said + 1);
}

TEST_F(DescribeNodeTest, MovesNoWindowWhereItObserves) {
  knob_.closed = absl::PermissionDeniedError("cannot open it");
  world_.config.mode = Mode::kObserve;
  ASSERT_EQ(world_.Start(), absl::OkStatus());
  EXPECT_EQ(world_.broker().Describe().knob_error, "");
}

TEST_F(DescribeNodeTest, SaysWhatTheKubeletAndTheDiskSay) {
  Start();
  AdmitVm();
  pods_.status = absl::UnavailableError("connection refused");
  world_.ledger.save_status = absl::ResourceExhaustedError("no space left on device");
  timers_.Advance(5s);
  EXPECT_EQ(world_.broker().Describe().pods_error, "connection refused");
  EXPECT_EQ(world_.broker().Describe().ledger_error, "");
  EXPECT_FALSE(world_.Allocate(kNic, {Nic(2)}).ok());
  EXPECT_EQ(world_.broker().Describe().ledger_error, "no space left on device");
}

}  // namespace
}  // namespace dp::core
