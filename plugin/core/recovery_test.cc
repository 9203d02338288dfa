// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/lease_world.h"

// Reservations over crashes, reboots, updates and lost ledgers.

namespace dp::core {
namespace {

using ::dp::fakes::GroupOf;
using ::dp::fakes::NvmeFunction;
using fakes::At, fakes::kNic, fakes::kNvme, fakes::kNvmeName, fakes::Nic, fakes::Nvme;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

using RecoveryTest = fakes::LeaseWorld;

// As during an update, when the older daemon is still there.
TEST_F(RecoveryTest, TouchesNothingOnceAnotherDaemonHasTakenOver) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  world_.ledger.taken_over = true;
  const auto writes = knob_.writes;
  EXPECT_EQ(world_.Allocate(kNvme, {Nvme(2)}).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(world_.Check(kNvme, {Nvme(1)}).code(), absl::StatusCode::kUnavailable);
  pods_.Remove("vm");
  timers_.Advance(10min);
  EXPECT_EQ(knob_.WindowOf(1), At(0)) << "it may be another pod's by now";
  EXPECT_EQ(knob_.writes, writes);
  EXPECT_EQ(ledger().size(), 1U);
}

TEST_F(RecoveryTest, KeepsReservationsOverACrash) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  knob_.busy = {1, 11};
  const auto before = ledger();
  const auto writes = knob_.writes;
  Start();
  EXPECT_EQ(ledger(), before);
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.writes, writes);
  EXPECT_EQ(ledger(), before);
  for (std::uint32_t number : {2U, 3U}) Allocate(kNvme, {Nvme(number)});
  Allocate(kNic, {Nic(2)});
  EXPECT_EQ(world_.Allocate(kNic, {Nic(3)}).code(), absl::StatusCode::kResourceExhausted);
}

// docs/vmm.md: a greater number is a newer document, whoever has been restarted in between.
TEST_F(RecoveryTest, CountsOnWithEachChange) {
  Start();
  Allocate(kNvme, {Nvme(1)});
  const auto generation = [this] { return settings_.settings.at(Nvme(1)).generation; };
  EXPECT_EQ(generation(), world_.ledger.ledger->generation);
  const std::uint64_t allocated = generation();
  pods_.Add("vm", kNvmeName, {Nvme(1)});
  Check(kNvme, {Nvme(1)});
  EXPECT_GT(generation(), allocated) << "its pod is known";
  EXPECT_EQ(generation(), world_.ledger.ledger->generation);
  const std::uint64_t started = generation();
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(generation(), started) << "nothing has changed";
  Reboot();
  Check(kNvme, {Nvme(1)});
  EXPECT_GT(generation(), started);
  EXPECT_EQ(generation(), world_.ledger.ledger->generation);
}

TEST_F(RecoveryTest, NeverCountsTheSameForTwoLedgers) {
  Start();
  Allocate(kNvme, {Nvme(1)});
  const std::uint64_t before = world_.ledger.ledger->generation;
  world_.ledger.save_status = absl::DataLossError("the disk may or may not have it");
  EXPECT_FALSE(world_.Allocate(kNvme, {Nvme(2)}).ok());
  world_.ledger.save_status = absl::OkStatus();
  Allocate(kNvme, {Nvme(2)});
  EXPECT_GT(world_.ledger.ledger->generation, before + 1);
}

TEST_F(RecoveryTest, WritesTheWindowsAgainAfterAReboot) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  Reboot();
  Check(kNvme, {Nvme(1)});
  Check(kNic, {Nic(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(11), At(0));
  EXPECT_EQ(settings_.settings.at(Nic(1)).window, At(0));
}

TEST_F(RecoveryTest, HandsNoWindowOfTheLedgerOutAfterAReboot) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  Reboot();
  for (std::uint32_t number : {2U, 3U}) Allocate(kNvme, {Nvme(number)});
  Allocate(kNic, {Nic(2)});
  EXPECT_EQ(world_.Allocate(kNic, {Nic(3)}).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(RecoveryTest, SaysThatANumberHasChangedWithAReboot) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  host_.Find(1)->number = 7;
  Reboot();
  const absl::Status status = world_.Check(kNvme, {Nvme(1)});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "GroupChanged: device 0000:01:00.0 is in IOMMU group 7 now, and was in 1 when it was "
            "allocated; the kubelet gives its container the device node of the old one, so the pod "
            "must be deleted");
  EXPECT_EQ(knob_.WindowOf(7), kFixedWindow);
  // Group 1 is another device's now; ending the reservation must not touch it.
  host_.AddGroup(GroupOf(1, {NvmeFunction("0000:04:00.0")}));
  world_.broker().Rescan();
  Allocate(kNvme, {"0000:04:00.0"});
  pods_.Remove("vm");
  pods_.Add("new", kNvmeName, {"0000:04:00.0"});
  timers_.Advance(1min);
  EXPECT_EQ(knob_.WindowOf(1), At(1));
}

// The kubelet still has the node of the old number, which is another device's now.
TEST_F(RecoveryTest, AnAnswerOfNodesStaysOneWhenCdiIsTurnedOn) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  world_.config.resources[0].cdi = true;
  host_.Find(1)->number = 7;
  Reboot();
  EXPECT_THAT(std::string(world_.Check(kNvme, {Nvme(1)}).message()), HasSubstr("GroupChanged"));
}

TEST_F(RecoveryTest, AnAnswerByCdiStaysOneWhenCdiIsTurnedOff) {
  world_.config.resources[0].cdi = true;
  Start();
  AdmitVm();
  world_.config.resources[0].cdi = false;
  Start();
  Check(kNvme, {Nvme(1)});
  EXPECT_TRUE(settings_.settings.at(Nvme(1)).cdi);
}

TEST_F(RecoveryTest, GivesACdiDeviceTheNodesOfThisBoot) {
  world_.config.resources[0].cdi = true;
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  host_.Find(1)->number = 7;
  Reboot();
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(7), At(0));
  EXPECT_THAT(settings_.settings.at(Nvme(1)).device_nodes,
              ElementsAre("/dev/vfio/vfio", "/dev/vfio/7"));
  EXPECT_EQ(ledger()[0].allocations[0].holdings[0].group, 7U);
  // Its end reaches the group that it has now.
  pods_.Remove("vm");
  timers_.Advance(1min);
  EXPECT_EQ(knob_.WindowOf(7), kFixedWindow);
  EXPECT_TRUE(ledger().empty());
}

TEST_F(RecoveryTest, RebuildsALostLedgerFromKernelAndKubelet) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  world_.ledger.load_status =
      absl::DataLossError("/var/lib/vfio-doorbell/ledger.json was set aside as x");
  knob_.busy = {1, 11};
  Start();
  timers_.Advance(5s);
  ASSERT_EQ(ledger().size(), 1U);
  EXPECT_EQ(ledger()[0].window, At(0));
  EXPECT_EQ(ledger()[0].pod->name, "vm");
  EXPECT_EQ(ledger()[0].allocations.size(), 2U);
  pods_.Remove("vm");
  knob_.busy = {};
  timers_.Advance(30s);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
}

TEST_F(RecoveryTest, DoesNotStartWithoutALedger) {
  world_.ledger.save_status =
      absl::FailedPreconditionError("cannot write /var/lib/vfio-doorbell: Read-only file system");
  EXPECT_EQ(world_.Start(), world_.ledger.save_status);
  world_.ledger.load_status = absl::PermissionDeniedError("cannot read it");
  EXPECT_EQ(world_.Start(), world_.ledger.load_status);
}

TEST_F(RecoveryTest, AnswersNoAllocationThatIsNotInTheLedger) {
  Start();
  world_.ledger.save_status = absl::ResourceExhaustedError("cannot write: no space left on device");
  const absl::Status status = world_.Allocate(kNvme, {Nvme(1)});
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no space left on device"));
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  world_.ledger.save_status = absl::OkStatus();
  Allocate(kNvme, {Nvme(1)});
  EXPECT_EQ(ledger().size(), 1U);
}

TEST_F(RecoveryTest, WritesTheLedgerAsSoonAsItCan) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  pods_.Remove("vm");
  world_.ledger.save_status = absl::ResourceExhaustedError("no space left on device");
  timers_.Advance(1min);
  EXPECT_EQ(ledger().size(), 1U);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  world_.ledger.save_status = absl::OkStatus();
  timers_.Advance(5s);
  EXPECT_THAT(ledger(), IsEmpty());
}

TEST_F(RecoveryTest, TakesBackWhatACrashLeftBeforeTheLedgerWasWritten) {
  Start();
  Allocate(kNvme, {Nvme(1)});
  // The daemon had written the groups for another allocation when it was killed.
  host_.Find(1)->window = At(1);
  host_.Find(2)->window = At(1);
  pods_.Add("vm", kNvmeName, {Nvme(1)});
  Start();
  timers_.Advance(5s);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow) << "nobody was told of that window";
  timers_.Advance(25s);
  EXPECT_EQ(knob_.WindowOf(2), kFixedWindow);
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0)) << "the one of the ledger";
}

TEST_F(RecoveryTest, TakesBackWhatACrashLeftInAGroupThatHasTheNumberOfAnother) {
  Start();
  Allocate(kNvme, {Nvme(1), Nvme(2)});
  host_.Find(1)->number = 21;
  host_.Find(2)->number = 1;
  Reboot();
  // The daemon had written the groups for them again when it was killed.
  host_.Find(21)->window = At(0);
  host_.Find(1)->window = At(0);
  Start();
  Allocate(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
}

TEST_F(RecoveryTest, TakesOverWhatAnObserverWithoutALedgerHandedOver) {
  world_.config.mode = Mode::kObserve;
  Start();
  Allocate(kNvme, {Nvme(1)});
  world_.ledger.ledger.reset();
  Start();
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(settings_.settings.at(Nvme(1)).window, kFixedWindow);
  pods_.status = absl::OkStatus();
  timers_.Advance(1min);
  EXPECT_THAT(settings_.settings, IsEmpty());
}

TEST_F(RecoveryTest, FollowsAKernelWithoutTheKnobAfterAReboot) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  for (Group& group : host_.inventory.groups) group.knob = Knob::kAbsent;
  Reboot();
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(settings_.settings.at(Nvme(1)).mode, Mode::kObserve);
  EXPECT_EQ(settings_.settings.at(Nvme(1)).window, kFixedWindow);
}

// The configuration has another pool when the daemon comes back.
class OtherPoolTest : public fakes::LeaseWorld {
 protected:
  void StartWithAnotherPool() {
    world_.config.pool.start += 8 * fakes::kMiB;
    world_.config.pool.end += 8 * fakes::kMiB;
    Start();
    pods_.status = absl::OkStatus();
  }
};

TEST_F(OtherPoolTest, FindsWhatAVmmHeld) {
  Start();
  Allocate(kNvme, {Nvme(1), Nvme(2)});
  knob_.busy = {2};
  Allocate(kNvme, {Nvme(1)});
  StartWithAnotherPool();
  knob_.busy = {};
  timers_.Advance(1min);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  EXPECT_EQ(knob_.WindowOf(2), kFixedWindow);
  EXPECT_THAT(ledger(), IsEmpty());
}

TEST_F(OtherPoolTest, FindsWhatACrashHasLeft) {
  Start();
  AdmitVm();
  ASSERT_EQ(knob_.WindowOf(11), At(1));
  // It has got the pod's window, and the daemon died before the ledger said so.
  host_.Find(11)->window = At(0);
  StartWithAnotherPool();
  pods_.Remove("vm");
  timers_.Advance(1min);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  EXPECT_EQ(knob_.WindowOf(11), kFixedWindow);
  EXPECT_THAT(ledger(), IsEmpty());
}

TEST_F(OtherPoolTest, IsRefusedWhileTheLedgerCannotBeWritten) {
  Start();
  Config next = world_.config;
  next.pool.start += fakes::kMiB;
  world_.ledger.save_status = absl::ResourceExhaustedError("no space left on device");
  absl::Status refusal;
  world_.broker().Reconfigure(next, [&refusal](const auto& change) { refusal = change.status(); });
  EXPECT_TRUE(absl::IsUnavailable(refusal)) << refusal;
  EXPECT_EQ(world_.broker().pool().start, world_.config.pool.start);
}

}  // namespace
}  // namespace dp::core
