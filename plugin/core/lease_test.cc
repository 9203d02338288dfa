// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/broker_world.h"

// The life of a window: one for each pod, given back when the pod has gone, kept over every
// restart.

namespace dp::core {
namespace {

using ::dp::fakes::GroupOf;
using ::dp::fakes::NvmeFunction;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 0x100000;
constexpr std::size_t kNvme = 0;
constexpr std::size_t kNic = 1;
constexpr char kNvmeName[] = "vendor.example/nvme";
constexpr char kNicName[] = "vendor.example/nic";

Window At(std::uint64_t cell) { return {.base = 0x09000000 + cell * kMiB, .size = kMiB}; }
std::string Nvme(std::uint32_t number) { return "0000:0" + std::to_string(number) + ":00.0"; }
std::string Nic(std::uint32_t number) { return "0000:1" + std::to_string(number) + ":00.0"; }

// Groups 1 to 3 are NVMes, 11 to 13 are NICs; a pool of four windows.
class LeaseTest : public ::testing::Test {
 protected:
  LeaseTest() {
    for (std::uint32_t number = 1; number <= 3; ++number) {
      host_.AddGroup(GroupOf(number, {NvmeFunction(Nvme(number))}));
      host_.AddGroup(GroupOf(10 + number, {NvmeFunction(Nic(number))}));
    }
    Selector nvme;
    nvme.addresses = {"0000:0*"};
    Selector nic;
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
    for (Group& group : host_.inventory.groups) group.window = kFixedWindow;
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
  [[nodiscard]] std::vector<Reservation> ledger() const {
    return world_.ledger.ledger->reservations;
  }

  fakes::BrokerWorld world_;
  fakes::FakeHost& host_ = world_.host;
  fakes::FakeMsiWindowKnob& knob_ = world_.knob;
  fakes::FakeSettingsStore& settings_ = world_.settings;
  fakes::FakePodLister& pods_ = world_.pods;
  fakes::FakeTimers& timers_ = world_.timers;
};

TEST_F(LeaseTest, GivesAllGroupsOfAPodOneWindow) {
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

TEST_F(LeaseTest, AsksOnceForEachPod) {
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

TEST_F(LeaseTest, KeepsTheWindowsOfTwoPodsApart) {
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
class SilenceTest : public LeaseTest, public ::testing::WithParamInterface<SilenceCase> {};

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

TEST_F(LeaseTest, LeavesTheWindowsOfARunningVmAsTheyAre) {
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
TEST_F(LeaseTest, LeavesTheWindowOfAContainerThatWasStarted) {
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

TEST_F(LeaseTest, LeavesTheWindowsOfContainersThatWereStarted) {
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

TEST_F(LeaseTest, GivesAPodOneWindowAfterARebootIfItHadTwo) {
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
TEST_F(LeaseTest, LeavesWindowsThatWereTakenOverAsTheyAre) {
  Start();
  AdmitVm();
  world_.ledger.ledger.reset();
  ASSERT_NO_FATAL_FAILURE(Start());
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(11), At(1));
}

TEST_F(LeaseTest, FreesAWindowWithinHalfAMinuteOfItsPod) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  knob_.busy = {1, 11};
  timers_.Advance(10min);
  EXPECT_EQ(knob_.WindowOf(1), At(0)) << "the pod is there";
  pods_.Remove("vm");
  knob_.busy = {};
  timers_.Advance(10s);
  EXPECT_EQ(knob_.WindowOf(1), At(0)) << "the grace time is not over";
  timers_.Advance(19s);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  EXPECT_EQ(knob_.WindowOf(11), kFixedWindow);
  EXPECT_THAT(ledger(), IsEmpty());
  EXPECT_THAT(settings_.settings, IsEmpty());
}

TEST_F(LeaseTest, IsIdleWhenNothingIsReserved) {
  Start();
  EXPECT_TRUE(timers_.idle());
  AdmitVm();
  EXPECT_FALSE(timers_.idle());
  pods_.Remove("vm");
  timers_.Advance(1min);
  EXPECT_TRUE(timers_.idle());
}

TEST_F(LeaseTest, EndsNothingOfWhatAnAllocationMayPutBack) {
  Start();
  Allocate(kNvme, {Nvme(1)});
  Allocate(kNvme, {Nvme(2)});
  pods_.status = absl::OkStatus();
  knob_.busy = {2};
  timers_.Advance(18s);
  // It waits for the second group, and meanwhile the grace time of the former allocations ends.
  const auto answer = world_.Ask(kNvme, {Nvme(1), Nvme(2)});
  timers_.Advance(6s);
  ASSERT_TRUE(answer->has_value());
  EXPECT_FALSE((*answer)->ok());
  timers_.Advance(10s);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
}

TEST_F(LeaseTest, WaitsForTheVmmThatOutlivesItsPod) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  pods_.Remove("vm");
  knob_.busy = {1};
  timers_.Advance(1min);
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(11), kFixedWindow);
  // As long as a group has it, nobody else gets it.
  Allocate(kNic, {Nic(1), Nic(2)});
  for (std::uint32_t number : {2U, 3U}) Allocate(kNvme, {Nvme(number)});
  const absl::Status status = world_.Allocate(kNic, {Nic(3)});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("device 0000:01:00.0, whose pod has gone"));
  knob_.busy = {};
  timers_.Advance(5s);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  Allocate(kNic, {Nic(3)});
  EXPECT_EQ(knob_.WindowOf(13), At(0));
}

TEST_F(LeaseTest, DoesNotHandOutAWindowAgainOfWhichAVmmHasAPart) {
  Start();
  Allocate(kNvme, {Nvme(1), Nvme(2)});
  Allocate(kNvme, {Nvme(3)});
  for (std::uint32_t number : {1U, 2U}) Allocate(kNic, {Nic(number)});
  // The pool is dry, and the devices' former pod has the only window that one of them could get.
  knob_.busy = {2};
  EXPECT_EQ(world_.Allocate(kNvme, {Nvme(1)}).code(), absl::StatusCode::kResourceExhausted);
  knob_.busy = {};
  Allocate(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(2), kFixedWindow);
}

TEST_F(LeaseTest, EndsWhatWasAllocatedForAPodThatWasRejected) {
  Start();
  Allocate(kNvme, {Nvme(1)});
  pods_.status = absl::OkStatus();
  timers_.Advance(19s);
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  timers_.Advance(6s);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
}

TEST_F(LeaseTest, EndsNothingWhileTheKubeletIsSilent) {
  Start();
  AdmitVm();
  pods_.status = absl::UnavailableError("connection refused");
  timers_.Advance(24h);
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(ledger().size(), 2U);
}

TEST_F(LeaseTest, GivesAKubeletThatHasJustStartedTime) {
  Start();
  AdmitVm();
  timers_.Advance(1min);
  const auto known = std::exchange(pods_.pods, {});
  timers_.Advance(15s);
  world_.broker().KubeletStarted();
  timers_.Advance(19s);
  pods_.pods = known;
  timers_.Advance(1min);
  EXPECT_EQ(knob_.WindowOf(1), At(0));
}

TEST_F(LeaseTest, CountsAnAnswerAsOlderThanWhatWasDoneMeanwhile) {
  Start();
  AdmitVm();
  pods_.Remove("vm");
  timers_.Advance(5s);
  pods_.slow = true;
  timers_.Advance(15s);  // the question is under way
  Allocate(kNvme, {Nvme(1)});
  timers_.Advance(20s);
  pods_.slow = false;
  pods_.Answer();
  EXPECT_EQ(knob_.WindowOf(1), At(2));
}

// As during an update, when the older daemon is still there.
TEST_F(LeaseTest, TouchesNothingOnceAnotherDaemonHasTakenOver) {
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

TEST_F(LeaseTest, KeepsReservationsOverACrash) {
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

TEST_F(LeaseTest, WritesTheWindowsAgainAfterAReboot) {
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

TEST_F(LeaseTest, HandsNoWindowOfTheLedgerOutAfterAReboot) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  Reboot();
  for (std::uint32_t number : {2U, 3U}) Allocate(kNvme, {Nvme(number)});
  Allocate(kNic, {Nic(2)});
  EXPECT_EQ(world_.Allocate(kNic, {Nic(3)}).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(LeaseTest, SaysThatANumberHasChangedWithAReboot) {
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

TEST_F(LeaseTest, RebuildsALostLedgerFromKernelAndKubelet) {
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

TEST_F(LeaseTest, GivesAPodOneWindowOfWhichALostLedgerLeftAPart) {
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

TEST_F(LeaseTest, DoesNotStartWithoutALedger) {
  world_.ledger.save_status =
      absl::FailedPreconditionError("cannot write /var/lib/vfio-doorbell: Read-only file system");
  EXPECT_EQ(world_.Start(), world_.ledger.save_status);
  world_.ledger.load_status = absl::PermissionDeniedError("cannot read it");
  EXPECT_EQ(world_.Start(), world_.ledger.load_status);
}

TEST_F(LeaseTest, AnswersNoAllocationThatIsNotInTheLedger) {
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

TEST_F(LeaseTest, StartsNoContainerWhoseWindowIsNotInTheLedger) {
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

TEST_F(LeaseTest, WritesTheLedgerAsSoonAsItCan) {
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

TEST_F(LeaseTest, TakesBackWhatACrashLeftBeforeTheLedgerWasWritten) {
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

TEST_F(LeaseTest, TakesBackWhatACrashLeftInAGroupThatHasTheNumberOfAnother) {
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

TEST_F(LeaseTest, ServesAnInitContainerWhoseDevicesGoOnToTheNext) {
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

TEST_F(LeaseTest, DoesNotLetASilentKubeletHoldUpAllocations) {
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

TEST_F(LeaseTest, RefusesToStartWhenItDrains) {
  Start();
  Allocate(kNvme, {Nvme(1)});
  pods_.slow = true;
  const auto start = world_.AskToStart(kNvme, {Nvme(1)});
  world_.broker().Drain();
  pods_.Answer();
  ASSERT_TRUE(start->has_value());
  EXPECT_EQ((*start)->code(), absl::StatusCode::kUnavailable);
}

TEST_F(LeaseTest, TakesOverWhatAnObserverWithoutALedgerHandedOver) {
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

class ReloadTest : public LeaseTest {
 protected:
  absl::StatusOr<ConfigChange> Reload(Config config) {
    // It may outlive this call.
    const auto answer =
        std::make_shared<absl::StatusOr<ConfigChange>>(absl::UnknownError("not answered yet"));
    world_.broker().Reconfigure(std::move(config), [answer](absl::StatusOr<ConfigChange> change) {
      *answer = std::move(change);
    });
    return *answer;
  }
};

TEST_F(ReloadTest, AddsAndRemovesResources) {
  Start();
  std::vector<std::size_t> told;
  world_.broker().NotifyChanges([&](std::size_t resource) { told.push_back(resource); });
  Config next = world_.config;
  next.resources[kNvme].name = "vendor.example/disk";
  const auto change = Reload(next);
  ASSERT_TRUE(change.ok()) << change.status();
  EXPECT_THAT(change->added, ElementsAre(2));
  EXPECT_THAT(change->removed, ElementsAre(kNvme));
  EXPECT_THAT(told, UnorderedElementsAre(kNvme, 2U)) << "the other one has not changed";
  EXPECT_EQ(world_.broker().offers()[kNvme].offers.size(), 0U);
  EXPECT_EQ(world_.broker().offers()[2].offers.size(), 3U);
  Allocate(2, {Nvme(1)});
  EXPECT_EQ(world_.Allocate(kNvme, {Nvme(2)}).code(), absl::StatusCode::kNotFound);
}

TEST_F(ReloadTest, RefusesAClashAndChangesNothing) {
  Start();
  Config next = world_.config;
  next.mode = Mode::kObserve;
  next.resources[kNic].selectors = next.resources[kNvme].selectors;
  EXPECT_EQ(Reload(next).status().code(), absl::StatusCode::kInvalidArgument);
  Allocate(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
}

TEST_F(ReloadTest, KeepsReservationsInAnotherPool) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  host_.Find(3)->window = Window{.base = 0x0a000000, .size = kMiB};  // somebody's, in the new pool
  Config next = world_.config;
  next.pool = {.start = 0x0a000000, .end = 0x0a000000 + 2 * kMiB, .window_size = kMiB};
  ASSERT_TRUE(Reload(next).ok());
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  Allocate(kNvme, {Nvme(2)});
  EXPECT_EQ(knob_.WindowOf(2), (Window{.base = 0x0a100000, .size = kMiB}));
  EXPECT_EQ(world_.Allocate(kNic, {Nic(2)}).code(), absl::StatusCode::kResourceExhausted);
  // And back: what the former pool still has reserved is not handed out.
  ASSERT_TRUE(Reload(world_.config).ok());
  Allocate(kNic, {Nic(2)});
  EXPECT_EQ(knob_.WindowOf(12), At(1));
}

TEST_F(ReloadTest, WaitsForTheAllocationThatIsUnderWay) {
  Start();
  knob_.busy = {1};
  const auto waiting = world_.Ask(kNvme, {Nvme(1)});
  EXPECT_EQ(Reload(world_.config).status().code(), absl::StatusCode::kUnknown);
}

TEST_F(LeaseTest, FollowsAKernelWithoutTheKnobAfterAReboot) {
  Start();
  AdmitVm();
  Check(kNvme, {Nvme(1)});
  for (Group& group : host_.inventory.groups) group.knob = Knob::kAbsent;
  Reboot();
  Check(kNvme, {Nvme(1)});
  EXPECT_EQ(settings_.settings.at(Nvme(1)).mode, Mode::kObserve);
  EXPECT_EQ(settings_.settings.at(Nvme(1)).window, kFixedWindow);
}

}  // namespace
}  // namespace dp::core
