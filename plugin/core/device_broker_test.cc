// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/device_broker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "plugin/core/grace.h"
#include "plugin/core/release.h"
#include "tests/fakes/broker_world.h"

namespace dp::core {
namespace {

using ::dp::fakes::GroupOf;
using ::dp::fakes::NvmeFunction;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 0x100000;

Window At(std::uint64_t cell) { return {.base = 0x09000000 + cell * kMiB, .size = kMiB}; }

// Groups 1 to 4, each with one function on vfio-pci at 0000:0N:00.0, and a pool of four windows.
class DeviceBrokerTest : public ::testing::Test {
 protected:
  DeviceBrokerTest() {
    for (std::uint32_t group = 1; group <= 4; ++group) {
      host_.AddGroup(GroupOf(group, {NvmeFunction(Device(group))}));
    }
    Selector selector;
    selector.vendor = 0x1b36;
    config_.resources.push_back(
        {.name = "vendor.example/nvme", .selectors = {selector}, .line = 3});
    config_.pool = {.start = 0x09000000, .end = 0x09000000 + 4 * kMiB, .window_size = kMiB};
  }

  static std::string Device(std::uint32_t group) {
    return "0000:0" + std::to_string(group) + ":00.0";
  }

  void Start() {
    const absl::Status status = world_.Start();
    ASSERT_TRUE(status.ok()) << status;
    broker_ = &world_.broker();
    broker_->NotifyChanges([this](std::size_t) { ++changes_; });
  }

  using Answer = fakes::BrokerWorld::Answer<absl::StatusOr<Grant>>;
  Answer Ask(std::vector<std::string> devices) { return world_.Ask(0, std::move(devices)); }
  absl::Status Allocate(std::vector<std::string> devices) {
    return world_.Allocate(0, std::move(devices));
  }
  absl::Status Check(std::vector<std::string> devices) {
    return world_.Check(0, std::move(devices));
  }
  const Offer& OfferOf(std::uint32_t group) { return *broker_->offers()[0].Find(Device(group)); }

  fakes::BrokerWorld world_;
  fakes::FakeHost& host_ = world_.host;
  fakes::FakeMsiWindowKnob& knob_ = world_.knob;
  fakes::FakeSettingsStore& store_ = world_.settings;
  fakes::FakeLedgerStore& ledger_ = world_.ledger;
  fakes::FakeTimers& timers_ = world_.timers;
  Config& config_ = world_.config;
  std::set<std::string>& missing_nodes_ = world_.missing_nodes;
  DeviceBroker* broker_ = nullptr;
  int changes_ = 0;
};

TEST_F(DeviceBrokerTest, ReservesOneWindowForAllDevicesOfACall) {
  Start();
  const Answer answer = Ask({Device(2), Device(1)});
  ASSERT_TRUE(answer->has_value());
  ASSERT_TRUE((*answer)->ok()) << (*answer)->status();
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(2), At(0));
  EXPECT_EQ(knob_.WindowOf(3), kFixedWindow);
  EXPECT_THAT((**answer)->environment,
              Contains(Pair("PCI_RESOURCE_VENDOR_EXAMPLE_NVME", "0000:01:00.0,0000:02:00.0")));
  const Settings& settings = store_.settings.at(Device(1));
  EXPECT_EQ(settings.mode, Mode::kEnforce);
  EXPECT_EQ(settings.window, At(0));
  EXPECT_EQ(settings.page_size, 4096U);
  ASSERT_EQ(settings.groups.size(), 2U);
  EXPECT_EQ(settings.groups[1].device, Device(2));
  EXPECT_EQ(settings.groups[1].window, At(0));
  EXPECT_THAT(settings.groups[1].functions, ElementsAre(Device(2)));
  EXPECT_TRUE(Check({Device(1), Device(2)}).ok());
}

TEST_F(DeviceBrokerTest, GivesEachCallItsOwnWindow) {
  Start();
  ASSERT_TRUE(Allocate({Device(1)}).ok());
  ASSERT_TRUE(Allocate({Device(2)}).ok());
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(2), At(1));
}

TEST_F(DeviceBrokerTest, EndsAReservationWhenOneOfItsDevicesIsAllocatedAgain) {
  Start();
  ASSERT_TRUE(Allocate({Device(1), Device(2)}).ok());
  ASSERT_TRUE(Allocate({Device(2)}).ok());
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  EXPECT_EQ(knob_.WindowOf(2), At(1));
  EXPECT_THAT(store_.settings, UnorderedElementsAre(Key(Device(2))));
  EXPECT_TRUE(Check({Device(2)}).ok());
}

TEST_F(DeviceBrokerTest, EndsNoReservationForAnyOtherReason) {
  Start();
  ASSERT_TRUE(Allocate({Device(1)}).ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Allocate({Device(2)}).ok());
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_TRUE(Check({Device(1)}).ok());
}

TEST_F(DeviceBrokerTest, HandsAWindowOutAgainOnceNobodyHasIt) {
  Start();
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(Allocate({Device(1)}).ok()) << i;
  EXPECT_EQ(knob_.WindowOf(1), At(0));
}

TEST_F(DeviceBrokerTest, KeepsTheWindowOfAGroupThatAVmmStillOwns) {
  host_.AddGroup(GroupOf(5, {NvmeFunction(Device(5))}));
  Start();
  ASSERT_TRUE(Allocate({Device(1), Device(2)}).ok());  // window 0
  knob_.busy = {2};
  ASSERT_TRUE(Allocate({Device(1)}).ok());  // window 1; group 2 is shutting down
  EXPECT_EQ(knob_.WindowOf(2), At(0));
  ASSERT_TRUE(Allocate({Device(3)}).ok());  // 2
  ASSERT_TRUE(Allocate({Device(4)}).ok());  // 3
  EXPECT_EQ(Allocate({Device(5)}).code(), absl::StatusCode::kResourceExhausted)
      << "window 0 was given away while a VMM had it";
  knob_.busy = {};
  ASSERT_TRUE(Allocate({Device(5)}).ok());
  EXPECT_EQ(knob_.WindowOf(2), kFixedWindow);
  EXPECT_EQ(knob_.WindowOf(5), At(0));
}

TEST_F(DeviceBrokerTest, NamesPoolAndHoldersWhenNoWindowIsLeft) {
  config_.pool.end = config_.pool.start + 2 * kMiB;
  Start();
  ASSERT_TRUE(Allocate({Device(1)}).ok());
  ASSERT_TRUE(Allocate({Device(2)}).ok());
  const absl::Status status = Allocate({Device(3)});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(),
            "all 2 windows of 0x100000 bytes of the pool [0x09000000, 0x09200000) are reserved, by "
            "device 0000:01:00.0, device 0000:02:00.0");
  EXPECT_EQ(knob_.WindowOf(3), kFixedWindow);
  EXPECT_TRUE(Check({Device(1), Device(2)}).ok());
}

TEST_F(DeviceBrokerTest, LetsADeviceKeepTheLastWindowThatItHolds) {
  config_.pool.end = config_.pool.start + kMiB;
  Start();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Allocate({Device(1)}).ok()) << i;
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(Allocate({Device(2)}).code(), absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(Allocate({Device(1), Device(2)}).ok());
  EXPECT_EQ(knob_.WindowOf(2), At(0));
}

TEST_F(DeviceBrokerTest, AdoptsWhatTheKernelHasInForce) {
  host_.Find(1)->window = At(0);
  host_.Find(2)->window = At(0);
  host_.Find(3)->window = At(2);
  host_.Find(4)->window = Window{.base = 0x20000000, .size = kMiB};  // not ours
  Start();
  EXPECT_TRUE(Check({Device(1), Device(2), Device(3)}).ok());
  ASSERT_TRUE(Allocate({Device(4)}).ok());
  EXPECT_EQ(knob_.WindowOf(4), At(1));
  // Groups 1 and 2 are one reservation.
  ASSERT_TRUE(Allocate({Device(2)}).ok());
  EXPECT_EQ(knob_.WindowOf(2), At(3));
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  ASSERT_TRUE(Allocate({Device(1)}).ok());
  EXPECT_EQ(knob_.WindowOf(1), At(0));
}

TEST_F(DeviceBrokerTest, NeverHandsOutWhatAGroupOfNobodyHas) {
  host_.AddGroup(GroupOf(9, {NvmeFunction("0000:09:00.0", "nvme")}));
  host_.Find(9)->functions[0].pci->vendor = 0x8086;
  host_.Find(9)->window = Window{.base = 0x09080000, .size = kMiB};  // parts of windows 0 and 1
  Start();
  ASSERT_TRUE(Allocate({Device(1)}).ok());
  EXPECT_EQ(knob_.WindowOf(1), At(2));
}

TEST_F(DeviceBrokerTest, WaitsForAFormerVmmAndServesLaterCallsAfterwards) {
  Start();
  knob_.busy = {1};
  const Answer first = Ask({Device(1)});
  const Answer second = Ask({Device(2)});
  EXPECT_FALSE(first->has_value());
  EXPECT_FALSE(second->has_value());
  EXPECT_TRUE(broker_->Prefer(0, std::vector{Device(2)}, {}, 1).ok());
  knob_.busy = {};
  timers_.Advance(1s);
  ASSERT_TRUE(first->has_value() && second->has_value());
  EXPECT_TRUE((*first)->ok());
  EXPECT_TRUE((*second)->ok());
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(2), At(1));
}

TEST_F(DeviceBrokerTest, GivesUpWaitingAndGivesTheWindowBack) {
  Start();
  knob_.busy = {2};
  const Answer answer = Ask({Device(1), Device(2)});
  timers_.Advance(5s);
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((*answer)->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ((*answer)->status().message(),
            "no window was set for 0000:01:00.0,0000:02:00.0: group 2 is in use by a VMM");
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  EXPECT_THAT(store_.settings, IsEmpty());
  // All four windows of the pool can be had.
  knob_.busy = {};
  for (std::uint32_t group = 1; group <= 4; ++group) ASSERT_TRUE(Allocate({Device(group)}).ok());
}

struct KnobErrorCase {
  absl::StatusCode kernel;
  absl::StatusCode caller;
};

class KnobErrorTest : public DeviceBrokerTest,
                      public ::testing::WithParamInterface<KnobErrorCase> {};

TEST_P(KnobErrorTest, PassesTheSentenceOnAndLeavesEverythingAsItWas) {
  Start();
  ASSERT_TRUE(Allocate({Device(1)}).ok());
  knob_.errors[2] = absl::Status(GetParam().kernel, "the kernel says so");
  const absl::Status status = Allocate({Device(1), Device(2)});
  EXPECT_EQ(status.code(), GetParam().caller);
  EXPECT_EQ(status.message(),
            "no window was set for 0000:01:00.0,0000:02:00.0: the kernel says so");
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(2), kFixedWindow);
  EXPECT_TRUE(Check({Device(1)}).ok());
  // The window that was tried is in the pool again.
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Allocate({Device(3)}).ok());
}

INSTANTIATE_TEST_SUITE_P(
    Errors, KnobErrorTest,
    ::testing::Values(
        KnobErrorCase{absl::StatusCode::kPermissionDenied, absl::StatusCode::kPermissionDenied},
        KnobErrorCase{absl::StatusCode::kOutOfRange, absl::StatusCode::kOutOfRange},
        KnobErrorCase{absl::StatusCode::kAlreadyExists, absl::StatusCode::kFailedPrecondition},
        KnobErrorCase{absl::StatusCode::kUnimplemented, absl::StatusCode::kFailedPrecondition},
        KnobErrorCase{absl::StatusCode::kNotFound, absl::StatusCode::kFailedPrecondition},
        KnobErrorCase{absl::StatusCode::kInvalidArgument, absl::StatusCode::kInternal}),
    [](const auto& test) { return absl::StatusCodeToString(test.param.kernel); });

TEST_F(DeviceBrokerTest, KeepsAWindowThatItCouldNotTakeBack) {
  Start();
  knob_.busy = {2};
  const Answer answer = Ask({Device(1), Device(2)});  // window 0 is in group 1 now
  knob_.busy = {1, 2};                                // and a VMM has opened it
  timers_.Advance(5s);
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(Allocate({Device(3)}).ok());
    EXPECT_NE(knob_.WindowOf(3), At(0));
  }
}

TEST_F(DeviceBrokerTest, PutsTheWindowsBackIfTheSettingsCannotBeWritten) {
  Start();
  store_.put_status = absl::PermissionDeniedError("cannot write /state: Read-only file system");
  const absl::Status status = Allocate({Device(1)});
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/state: Read-only"));
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  EXPECT_THAT(ledger_.ledger->reservations, IsEmpty());
}

TEST_F(DeviceBrokerTest, RefusesMalformedCalls) {
  Start();
  EXPECT_EQ(Allocate({}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Allocate({Device(1), Device(1)}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Allocate({Device(1), "0000:99:00.0"}).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Check({}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Check({Device(1), Device(1)}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Check({""}).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(knob_.writes, IsEmpty());
  EXPECT_THAT(store_.settings, IsEmpty());
}

TEST_F(DeviceBrokerTest, SeesAtAllocateThatADeviceHasBecomeUnhealthy) {
  Start();
  host_.Find(1)->functions.push_back(NvmeFunction("0000:01:00.1", "nvme"));
  const absl::Status status = Allocate({Device(1)});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("0000:01:00.1"), HasSubstr("nvme")));
  EXPECT_EQ(changes_, 1);
  EXPECT_FALSE(OfferOf(1).healthy());
  EXPECT_THAT(knob_.writes, IsEmpty());

  host_.Find(1)->functions.pop_back();
  EXPECT_TRUE(Allocate({Device(1)}).ok());
  EXPECT_EQ(changes_, 2);
  EXPECT_TRUE(OfferOf(1).healthy());
}

TEST_F(DeviceBrokerTest, FollowsADeviceToAnotherGroup) {
  Start();
  host_.Find(1)->number = 11;
  ASSERT_TRUE(Allocate({Device(1)}).ok());
  EXPECT_EQ(knob_.WindowOf(11), At(0));
  EXPECT_EQ(OfferOf(1).group, 11U);
  EXPECT_TRUE(Check({Device(1)}).ok());
}

TEST_F(DeviceBrokerTest, SaysThatADeviceIsGone) {
  Start();
  host_.RemoveGroup(1);
  const absl::Status status = Allocate({Device(1)});
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(std::string(status.message()), "device 0000:01:00.0 is gone");
  EXPECT_EQ(base::ReasonOf(status), base::Reason::kDeviceGone);
  EXPECT_EQ(broker_->offers()[0].Find(Device(1)), nullptr);
  EXPECT_EQ(changes_, 1);
}

TEST_F(DeviceBrokerTest, SaysThatADeviceCannotBeRead) {
  Start();
  host_.group_status = absl::FailedPreconditionError("group 1 makes no sense");
  const absl::Status status = Allocate({Device(1)});
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(std::string(status.message()),
            "device 0000:01:00.0 cannot be read: group 1 makes no sense");
  EXPECT_EQ(base::ReasonOf(status), base::Reason::kNotReadable);
}

TEST_F(DeviceBrokerTest, RescansOnlyToTellWhatChanged) {
  Start();
  broker_->Rescan();
  EXPECT_EQ(changes_, 0);
  host_.AddGroup(GroupOf(5, {NvmeFunction(Device(5))}));
  broker_->Rescan();
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(broker_->offers()[0].offers.size(), 5U);
  host_.scan_status = absl::FailedPreconditionError("sysfs is gone");
  broker_->Rescan();
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(broker_->offers()[0].offers.size(), 5U);
}

TEST_F(DeviceBrokerTest, TellsAtOnceThatADeviceIsIllAndLaterThatItHasRecovered) {
  Start();
  host_.Find(1)->functions[0].driver = "";
  broker_->Rescan();
  EXPECT_EQ(changes_, 1);
  EXPECT_FALSE(OfferOf(1).healthy());
  host_.Find(1)->functions[0].driver = "vfio-pci";
  broker_->Rescan();
  EXPECT_EQ(changes_, 1);
  timers_.Advance(1s);
  EXPECT_EQ(changes_, 2);
  EXPECT_TRUE(OfferOf(1).healthy());
  EXPECT_TRUE(timers_.idle());
}

TEST_F(DeviceBrokerTest, LooksAgainBeforeItTellsOfARecovery) {
  Start();
  host_.Find(1)->functions[0].driver = "";
  broker_->Rescan();
  host_.Find(1)->functions[0].driver = "vfio-pci";
  broker_->Rescan();
  host_.Find(1)->functions[0].driver = "nvme";
  timers_.Advance(10s);
  EXPECT_THAT(OfferOf(1).unhealthy_reason, HasSubstr("nvme"));
}

TEST_F(DeviceBrokerTest, TellsNothingOnceItDrains) {
  Start();
  host_.Find(1)->functions[0].driver = "";
  broker_->Rescan();
  host_.Find(1)->functions[0].driver = "vfio-pci";
  broker_->Rescan();
  broker_->Drain();
  timers_.Advance(10s);
  EXPECT_EQ(changes_, 1);
}

TEST_F(DeviceBrokerTest, MissesTheNodeOfAGroup) {
  missing_nodes_ = {"vfio/3"};
  Start();
  EXPECT_EQ(OfferOf(3).unhealthy_reason, "its device node /dev/vfio/3 is missing");
  missing_nodes_ = {"vfio/1", "vfio/3"};
  const absl::Status status = Allocate({Device(1)});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/dev/vfio/1 is missing"));
  EXPECT_THAT(knob_.writes, IsEmpty());
  EXPECT_FALSE(OfferOf(1).healthy());
  missing_nodes_ = {"vfio/2"};
  broker_->Rescan();
  EXPECT_FALSE(OfferOf(2).healthy());
  timers_.Advance(1s);
  EXPECT_TRUE(OfferOf(1).healthy() && OfferOf(3).healthy());
}

TEST_F(DeviceBrokerTest, ChecksMembersBeforeStart) {
  Start();
  ASSERT_TRUE(Allocate({Device(1)}).ok());
  host_.Find(1)->functions.push_back(NvmeFunction("0000:01:00.1"));
  const absl::Status status = Check({Device(1)});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "GroupChanged: IOMMU group 1 of device 0000:01:00.0 has changed: it holds 0000:01:00.0 "
            "0000:01:00.1, and held 0000:01:00.0 when it was allocated");
}

TEST_F(DeviceBrokerTest, WritesALostWindowAgainBeforeStart) {
  Start();
  ASSERT_TRUE(Allocate({Device(1)}).ok());
  host_.Find(1)->window = kFixedWindow;  // by hand
  EXPECT_TRUE(Check({Device(1)}).ok());
  EXPECT_EQ(knob_.WindowOf(1), At(0));
}

TEST_F(DeviceBrokerTest, SaysBeforeStartThatAWindowCannotBeWrittenAgain) {
  Start();
  ASSERT_TRUE(Allocate({Device(1)}).ok());
  host_.Find(1)->window = kFixedWindow;
  knob_.errors[1] = absl::OutOfRangeError("the kernel says so");
  const absl::Status status = Check({Device(1)});
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(status.message(),
            "WindowNotSet: the window 0x09000000 0x00100000 that is reserved was not set again: "
            "the kernel says so");
}

TEST_F(DeviceBrokerTest, ReservesBeforeStartWhatIsNotInTheRecord) {
  Start();
  EXPECT_TRUE(Check({Device(1), Device(2)}).ok());
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  EXPECT_EQ(knob_.WindowOf(2), At(0));
  EXPECT_EQ(store_.settings.at(Device(1)).window, At(0));
  ASSERT_EQ(ledger_.ledger->reservations.size(), 1U);
  EXPECT_EQ(ledger_.ledger->reservations[0].window, At(0));
}

TEST_F(DeviceBrokerTest, ObservesIfConfigured) {
  config_.mode = Mode::kObserve;
  host_.Find(1)->window = At(3);
  Start();
  const Answer answer = Ask({Device(1)});
  ASSERT_TRUE(answer->has_value() && (*answer)->ok());
  EXPECT_THAT((**answer)->environment,
              Contains(Pair("VFIO_DOORBELL_MODE_VENDOR_EXAMPLE_NVME", "observe")));
  const Settings& settings = store_.settings.at(Device(1));
  EXPECT_EQ(settings.mode, Mode::kObserve);
  EXPECT_EQ(settings.mode_reason, "the configuration says so");
  EXPECT_EQ(settings.window, At(3));
  EXPECT_TRUE(Check({Device(1)}).ok());
  EXPECT_TRUE(Check({Device(2)}).ok()) << "after a restart of the plugin nothing is known";
  EXPECT_THAT(knob_.writes, IsEmpty());
}

TEST_F(DeviceBrokerTest, LeavesTheWindowsOfAResourceAloneIfConfigured) {
  config_.resources[0].observe = true;
  Start();
  ASSERT_TRUE(Allocate({Device(1)}).ok());
  EXPECT_EQ(store_.settings.at(Device(1)).mode, Mode::kObserve);
  EXPECT_EQ(store_.settings.at(Device(1)).mode_reason, "the configuration says so");
  EXPECT_EQ(store_.settings.at(Device(1)).window, kFixedWindow);
  EXPECT_TRUE(Check({Device(1)}).ok());
  EXPECT_THAT(knob_.writes, IsEmpty());
}

// core/grace.h
TEST_F(DeviceBrokerTest, LeavesTheDefaultWindowToAGraceGpu) {
  host_.Find(1)->functions[0].pci->vendor = kNvidia;
  host_.Find(1)->functions[0].pci->device = kGraceDevices[0];
  Selector grace;
  grace.vendor = kNvidia;
  config_.resources[0].selectors.push_back(grace);
  Start();
  ASSERT_TRUE(Allocate({Device(1), Device(2)}).ok());
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  EXPECT_EQ(knob_.WindowOf(2), At(0));
  const Settings& settings = store_.settings.at(Device(1));
  EXPECT_EQ(settings.mode, Mode::kObserve);
  EXPECT_EQ(settings.mode_reason,
            "0000:01:00.0 is a Grace GPU, whose guest knows the default window only");
  EXPECT_EQ(settings.groups[0].window, kFixedWindow);
  EXPECT_TRUE(Check({Device(1), Device(2)}).ok());
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
}

TEST_F(DeviceBrokerTest, RefusesAGraceGpuWithAnotherWindow) {
  host_.Find(1)->functions[0].pci->vendor = kNvidia;
  host_.Find(1)->functions[0].pci->device = kGraceDevices[0];
  // Not of the pool, so nobody puts it back.
  host_.Find(1)->window = Window{.base = 0x0b000000, .size = kMiB};
  config_.resources[0].selectors[0].vendor = kNvidia;
  Start();
  const absl::Status status = Allocate({Device(1)});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "device 0000:01:00.0 is unhealthy: the window of its IOMMU group is 0x0b000000 "
            "0x00100000, and the guest of a Grace GPU (0000:01:00.0) knows only 0x08000000 "
            "0x00100000");
  host_.Find(1)->window = kFixedWindow;
  EXPECT_TRUE(Allocate({Device(1)}).ok());
}

TEST_F(DeviceBrokerTest, ObservesOnAKernelWithoutTheKnob) {
  for (Group& group : host_.inventory.groups) group.knob = Knob::kAbsent;
  Start();
  ASSERT_TRUE(Allocate({Device(1), Device(2)}).ok());
  const Settings& settings = store_.settings.at(Device(1));
  EXPECT_EQ(settings.mode, Mode::kObserve);
  EXPECT_EQ(settings.mode_reason, "this kernel has no msi_window attribute");
  EXPECT_EQ(settings.window, kFixedWindow);
  EXPECT_THAT(knob_.writes, IsEmpty());
}

TEST_F(DeviceBrokerTest, TellsTheGroupsOfACallApart) {
  host_.Find(2)->knob = Knob::kNone;
  host_.Find(2)->window = std::nullopt;
  Start();
  ASSERT_TRUE(Allocate({Device(1), Device(2)}).ok());
  EXPECT_EQ(knob_.WindowOf(1), At(0));
  const Settings& settings = store_.settings.at(Device(1));
  EXPECT_EQ(settings.mode, Mode::kObserve);
  EXPECT_EQ(settings.mode_reason, "IOMMU group 2 has no software MSI window");
  EXPECT_EQ(settings.window, std::nullopt);
  EXPECT_EQ(settings.groups[0].window, At(0));
  EXPECT_EQ(settings.groups[1].window, std::nullopt);
  EXPECT_TRUE(Check({Device(1), Device(2)}).ok());
}

TEST_F(DeviceBrokerTest, AnswersEveryCallWhenItDrains) {
  Start();
  knob_.busy = {2};
  const Answer waiting = Ask({Device(1), Device(2)});
  const Answer queued = Ask({Device(3)});
  broker_->Drain();
  for (const Answer& answer : {waiting, queued, Ask({Device(4)})}) {
    ASSERT_TRUE(answer->has_value());
    EXPECT_EQ((*answer)->status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string((*answer)->status().message()), HasSubstr("shutting down"));
  }
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  EXPECT_EQ(knob_.WindowOf(3), kFixedWindow);
}

TEST_F(DeviceBrokerTest, DoesNotStartOnAHostThatCannotBeRead) {
  host_.scan_status = absl::FailedPreconditionError("sysfs is not mounted");
  const auto broker = DeviceBroker::Create(config_, world_.Parts());
  EXPECT_EQ(broker.status(), host_.scan_status);
}

TEST_F(DeviceBrokerTest, ReleasesAllThatNoVmmHolds) {
  host_.Find(1)->window = At(0);
  host_.Find(2)->window = At(1);
  host_.Find(3)->window = Window{.base = 0x20000000, .size = kMiB};
  knob_.busy = {2};
  const auto released = ReleaseAll(host_.inventory, config_.pool, knob_);
  ASSERT_EQ(released.size(), 2U);
  EXPECT_EQ(released[0].device, Device(1));
  EXPECT_TRUE(released[0].status.ok());
  EXPECT_EQ(released[1].window, At(1));
  EXPECT_EQ(released[1].status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(knob_.WindowOf(1), kFixedWindow);
  EXPECT_EQ(knob_.WindowOf(2), At(1));
  EXPECT_THAT(knob_.writes, ElementsAre("1: default"));
}

}  // namespace
}  // namespace dp::core
