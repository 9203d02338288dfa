// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/lease_world.h"

// What a container finds at its start: one window for all that its pod has.

namespace dp::core {
namespace {

using fakes::At, fakes::kNic, fakes::kNicName, fakes::kNvme, fakes::kNvmeName, fakes::Nic,
    fakes::Nvme;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

using ContainerStartTest = fakes::LeaseWorld;

TEST_F(ContainerStartTest, GivesAllGroupsOfAPodOneWindow) {
  Start();
  AdmitVm();
  EXPECT_EQ(knob_.WindowOf(11), At(1)) << "for whom an allocation is, is not known yet";
  Check(kNic, {Nic(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(11), At(0));
  EXPECT_EQ(settings_.settings.at(Nvme(1)).window, At(0));
  EXPECT_EQ(settings_.settings.at(Nic(1)).window, At(0));
  EXPECT_EQ(settings_.settings.at(Nic(1)).groups[0].window, At(0));
  ASSERT_EQ(ledger().size(), 1U);
  EXPECT_EQ(ledger()[0].pod, (PodName{.space = "default", .name = "vm"}));
  EXPECT_EQ(ledger()[0].allocations.size(), 2U);
  // The spare one is in the pool again.
  for (std::uint32_t number : {2U, 3U}) Allocate(kNvme, {Nvme(number)});
  Allocate(kNic, {Nic(2)});
  EXPECT_EQ(world_.Allocate(kNic, {Nic(3)}).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ContainerStartTest, AsksOnceForEachPod) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  const int calls = pods_.calls;
  const auto writes = knob_.writes;
  Check(kNic, {Nic(1)});
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(pods_.calls, calls);
  EXPECT_EQ(knob_.writes, writes);
}

TEST_F(ContainerStartTest, KeepsTheWindowsOfTwoPodsApart) {
  Start();
  AdmitVm();
  Allocate(kNvme, {Nvme(2)});
  pods_.Add("other", kNvmeName, {Nvme(2)});
  Check(kNvme, {Nvme(2)});
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(2), At(2));
  EXPECT_EQ(knob_.WindowOf(11), At(0));
}

struct SilenceCase {
  const char* name;
  void (*make)(fakes::FakePodLister& pods);
};
class SilenceTest : public ContainerStartTest, public ::testing::WithParamInterface<SilenceCase> {};

TEST_P(SilenceTest, StartsWithTheWindowsAsTheyAre) {
  Start();
  Allocate(kNvme, {Nvme(1)});
  Allocate(kNic, {Nic(1)});
  GetParam().make(pods_);
  Check(kNvme, {Nvme(1)});
  Check(kNic, {Nic(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(11), At(1));
  EXPECT_EQ(settings_.settings.at(Nic(1)).window, At(1));
  for (const Reservation& reservation : ledger()) EXPECT_EQ(reservation.pod, std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(
    Kubelets, SilenceTest,
    ::testing::Values(SilenceCase{"absent",
                                  [](fakes::FakePodLister& pods) {
                                    pods.status = absl::NotFoundError("no API");
                                  }},
                      SilenceCase{"slow",
                                  [](fakes::FakePodLister& pods) {
                                    pods.status = absl::DeadlineExceededError("no answer in 5 s");
                                  }},
                      SilenceCase{"not_listed",
                                  [](fakes::FakePodLister& pods) {
                                    pods.Add("other", kNvmeName, {Nvme(3)});
                                  }},
                      SilenceCase{"other_resource",
                                  [](fakes::FakePodLister& pods) {
                                    pods.Add("other", "x.example/y", {Nvme(1)});
                                  }},
                      SilenceCase{"listed_twice",
                                  [](fakes::FakePodLister& pods) {
                                    for (const char* pod : {"finished", "vm"}) {
                                      pods.Add(pod, kNvmeName, {Nvme(1)});
                                      pods.Add(pod, kNicName, {Nic(1)});
                                    }
                                  }}),
    [](const auto& test) { return test.param.name; });

TEST_F(ContainerStartTest, LeavesTheWindowsOfARunningVmAsTheyAre) {
  Start();
  AdmitVm();
  knob_.busy = {11};  // its container was started while there was no daemon
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(11), At(1));
  EXPECT_EQ(ledger().size(), 2U);
  for (const Reservation& reservation : ledger()) EXPECT_TRUE(reservation.pod.has_value());
}

// Its VMM may not have opened its group yet, so the kernel would let the window be moved.
TEST_F(ContainerStartTest, LeavesTheWindowOfAContainerThatWasStarted) {
  Start();
  AdmitVm();
  pods_.status = absl::NotFoundError("no API");
  Check(kNic, {Nic(1)});
  pods_.status = absl::OkStatus();
  ASSERT_NO_FATAL_FAILURE(Start());
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(11), At(1));
  EXPECT_EQ(knob_.WindowOf(1), At(1)) << "it had another one, and nobody has read that yet";
  EXPECT_EQ(settings_.settings.at(Nvme(1)).window, At(1));
  EXPECT_EQ(ledger().size(), 1U);
}

TEST_F(ContainerStartTest, LeavesTheWindowsOfContainersThatWereStarted) {
  Start();
  AdmitVm();
  knob_.busy = {11};  // of a VMM that is late to go
  Check(kNvme, {Nvme(1)});
  Check(kNic, {Nic(1)});
  knob_.busy = {};
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(11), At(1));
  EXPECT_EQ(ledger().size(), 2U);
}

TEST_F(ContainerStartTest, GivesAPodOneWindowAfterARebootIfItHadTwo) {
  Start();
  AdmitVm();
  pods_.status = absl::NotFoundError("no API");
  Check(kNvme, {Nvme(1)});
  Check(kNic, {Nic(1)});
  pods_.status = absl::OkStatus();
  ASSERT_NO_FATAL_FAILURE(Reboot());
  Check(kNic, {Nic(1)});
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(11), At(0));
}

// After a ledger that was lost nobody knows which containers were started.
TEST_F(ContainerStartTest, LeavesWindowsThatWereTakenOverAsTheyAre) {
  Start();
  AdmitVm();
  world_.ledger.ledger.reset();
  ASSERT_NO_FATAL_FAILURE(Start());
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(11), At(1));
}

TEST_F(ContainerStartTest, GivesAPodOneWindowOfWhichALostLedgerLeftAPart) {
  Start();
  AdmitVm();
  // A start had written the NIC's group for the window of the NVMe when the daemon was killed, so
  // the next daemon took that back; then the ledger was lost.
  host_.Find(11)->window = kFixedWindow;
  world_.ledger.load_status =
      absl::DataLossError("/var/lib/vfio-doorbell/ledger.json was set aside as x");
  Start();
  Check(kNvme, {Nvme(1)});
  Check(kNic, {Nic(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(11), At(0));
  EXPECT_EQ(settings_.settings.at(Nic(1)).window, At(0));
  EXPECT_EQ(ledger().size(), 1U);
}

TEST_F(ContainerStartTest, StartsNoContainerWhoseWindowIsNotInTheLedger) {
  Start();
  AdmitVm();
  world_.ledger.save_status = absl::ResourceExhaustedError("no space left on device");
  const absl::Status status = world_.Check(kNvme, {Nvme(1)});
  EXPECT_EQ(status.message(),
            "LedgerNotWritten: the reservation was not written down: no space left on device");
  world_.ledger.save_status = absl::OkStatus();
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(ledger().size(), 1U);
}

TEST_F(ContainerStartTest, ServesAnInitContainerWhoseDevicesGoOnToTheNext) {
  Start();
  Allocate(kNvme, {Nvme(1), Nvme(2)});  // the init container's
  Allocate(kNvme, {Nvme(2)});           // the container's, one of them
  pods_.Add("vm", kNvmeName, {Nvme(1), Nvme(2)});
  pods_.Add("vm", kNvmeName, {Nvme(2)});
  Check(kNvme, {Nvme(1), Nvme(2)});
  EXPECT_EQ(knob_.WindowOf(1), knob_.WindowOf(2));
  Check(kNvme, {Nvme(2)});
  EXPECT_EQ(settings_.settings.at(Nvme(2)).window, knob_.WindowOf(2));
  EXPECT_EQ(ledger().size(), 1U);
  pods_.Remove("vm");
  timers_.Advance(1min);
  EXPECT_THAT(settings_.settings, IsEmpty());
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  EXPECT_EQ(knob_.WindowOf(2), kFixedWindow);
}

TEST_F(ContainerStartTest, DoesNotLetASilentKubeletHoldUpAllocations) {
  Start();
  Allocate(kNvme, {Nvme(1)});
  pods_.slow = true;
  const auto start = world_.AskToStart(kNvme, {Nvme(1)});
  Allocate(kNvme, {Nvme(2)});
  EXPECT_FALSE(start->has_value());
  pods_.Answer();
  ASSERT_TRUE(start->has_value());
  EXPECT_TRUE((*start)->ok());
}

TEST_F(ContainerStartTest, RefusesToStartWhenItDrains) {
  Start();
  Allocate(kNvme, {Nvme(1)});
  pods_.slow = true;
  const auto start = world_.AskToStart(kNvme, {Nvme(1)});
  world_.broker().Drain();
  pods_.Answer();
  ASSERT_TRUE(start->has_value());
  EXPECT_EQ((*start)->code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace dp::core
