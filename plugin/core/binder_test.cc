// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/binder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/broker_world.h"

// Binding as the broker does it, on a bus that obeys the kernel's rules.

namespace dp::core {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;

constexpr char kDisk[] = "0000:01:00.0";
constexpr char kSibling[] = "0000:01:00.1";
constexpr char kOther[] = "0000:02:00.0";
constexpr char kBound[] = "vfio-pci!vfio-pci";

Selector ByAddress(std::string glob, bool bind = true) {
  Selector selector;
  selector.addresses = {std::move(glob)};
  selector.bind = bind;
  return selector;
}

class BinderTest : public testing::Test {
 protected:
  BinderTest() {
    world_.host.AddGroup(fakes::GroupOf(
        1, {fakes::NvmeFunction(kDisk, "nvme"), fakes::NvmeFunction(kSibling, "nvme")}));
    world_.host.AddGroup(fakes::GroupOf(2, {fakes::NvmeFunction(kOther, "nvme")}));
    drivers_.natural = {{kDisk, "nvme"}, {kSibling, "nvme"}, {kOther, "nvme"}};
    world_.config = Config{.resources = {Want(ByAddress(kDisk))}, .pool = {}, .mode = {}};
  }

  static Resource Want(Selector selector) {
    return {.name = "a.b/disk", .selectors = {std::move(selector)}, .line = 3};
  }
  // Starts, and lets everything happen that is due.
  void Start() {
    ASSERT_EQ(world_.Start(), absl::OkStatus());
    Settle();
  }
  void Settle() { world_.timers.Advance(0s); }
  void Rescan() {
    world_.broker().Rescan();
    Settle();
  }
  absl::Status Reconfigure(Config config) {
    std::optional<absl::Status> done;
    world_.broker().Reconfigure(std::move(config),
                                [&](const auto& change) { done = change.status(); });
    Settle();
    return done.value_or(absl::UnknownError("not answered"));
  }
  [[nodiscard]] std::vector<std::string> Recorded() const {
    std::vector<std::string> lines;
    if (!world_.driver_store.record) return lines;
    for (const DriverState& state : world_.driver_store.record->former)
      lines.push_back(state.address + " " + state.driver);
    return lines;
  }
  std::string ReasonOf(const std::string& device) {
    const Offer* offer = world_.broker().offers()[0].Find(device);
    return offer == nullptr ? "not offered" : offer->unhealthy_reason;
  }
  std::string Bound(const std::string& address) { return drivers_.StateOf(address); }

  fakes::BrokerWorld world_;
  fakes::FakePciDrivers& drivers_ = world_.drivers;
};

TEST_F(BinderTest, BindsAllMembersOfTheGroupAndNoOther) {
  Start();
  EXPECT_EQ(Bound(kDisk), kBound);
  EXPECT_EQ(Bound(kSibling), kBound);
  EXPECT_EQ(Bound(kOther), "nvme");
  EXPECT_THAT(Recorded(), ElementsAre("0000:01:00.0 nvme", "0000:01:00.1 nvme"));
  world_.timers.Advance(RecoveryDelay::kSettled);
  EXPECT_EQ(ReasonOf(kDisk), "");
  EXPECT_EQ(world_.Allocate(0, {kDisk}), absl::OkStatus());
}

TEST_F(BinderTest, LeavesBridgesAndWhatIsOnVfioAlready) {
  auto& functions = world_.host.Find(1)->functions;
  functions[1].pci->class_code = 0x060400;
  functions[1].driver = "pcieport";
  functions.push_back(fakes::NvmeFunction("0000:01:00.2", "mlx5_vfio_pci"));
  Start();
  EXPECT_EQ(Bound(kSibling), "pcieport");
  EXPECT_EQ(Bound("0000:01:00.2"), "mlx5_vfio_pci");
  EXPECT_THAT(Recorded(), ElementsAre("0000:01:00.0 nvme"));
}

TEST_F(BinderTest, BindsSeveralGroupsOneAfterTheOther) {
  world_.config.resources = {Want(ByAddress("0000:*"))};
  Start();
  EXPECT_EQ(Bound(kDisk), kBound);
  EXPECT_EQ(Bound(kOther), kBound);
  EXPECT_THAT(Recorded(), SizeIs(3));
}

// The uevents of a change cause a look while it is under way.
TEST_F(BinderTest, ALookInTheMiddleOfAChangeDoesNotCauseAnother) {
  std::vector<std::pair<std::function<void()>, std::function<void()>>> steps;
  world_.aside = [&](std::function<void()> work, std::function<void()> done) {
    steps.emplace_back(std::move(work), std::move(done));
  };
  ASSERT_EQ(world_.Start(), absl::OkStatus());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto [work, done] = steps[i];
    world_.broker().Rescan();
    work();
    done();
    Settle();
  }
  EXPECT_EQ(Bound(kDisk), kBound);
  EXPECT_THAT(steps, SizeIs(2)) << "one to claim and one to bind";
}

TEST_F(BinderTest, BindsNothingUnasked) {
  world_.config.resources = {Want(ByAddress(kDisk, false))};
  Start();
  Rescan();
  EXPECT_EQ(drivers_.writes, 0);
  EXPECT_EQ(world_.driver_store.record, std::nullopt);
}

TEST_F(BinderTest, TouchesNoGroupWithAMemberInUse) {
  drivers_.used[kSibling] = "has a disk that is mounted";
  Start();
  EXPECT_EQ(drivers_.writes, 0);
  EXPECT_THAT(Recorded(), IsEmpty());
  EXPECT_THAT(ReasonOf(kDisk),
              AllOf(HasSubstr("is on driver nvme"), HasSubstr("has a disk that is mounted")));
  EXPECT_FALSE(world_.Allocate(0, {kDisk}).ok());
}

// Uevents may cause many scans; the disk is not claimed each time.
TEST_F(BinderTest, TriesAgainAfterAWhileAndAtOnceAfterAChange) {
  drivers_.used[kSibling] = "is mounted";
  Start();
  drivers_.used.clear();
  Rescan();
  EXPECT_EQ(drivers_.writes, 0);
  world_.timers.Advance(Binder::kAgain);
  EXPECT_EQ(Bound(kDisk), kBound);
}

TEST_F(BinderTest, TriesAtOnceWhenTheGroupHasChanged) {
  drivers_.used[kSibling] = "is mounted";
  Start();
  drivers_.used.clear();
  world_.host.Find(1)->functions[1].driver.clear();
  Rescan();
  EXPECT_EQ(Bound(kSibling), kBound);
}

TEST_F(BinderTest, LeavesAGroupThatHasBeenPutBackAloneForLonger) {
  drivers_.refused.insert(kSibling);
  Start();
  EXPECT_EQ(Bound(kDisk), "nvme");
  EXPECT_EQ(Bound(kSibling), "nvme");
  EXPECT_THAT(Recorded(), IsEmpty());
  EXPECT_THAT(ReasonOf(kDisk), HasSubstr("vfio-pci does not take 0000:01:00.1"));
  const int writes = drivers_.writes;
  world_.timers.Advance(Binder::kAgain);
  EXPECT_EQ(drivers_.writes, writes);
  drivers_.refused.clear();
  world_.timers.Advance(Binder::kAfterPutBack);
  EXPECT_EQ(Bound(kDisk), kBound);
}

TEST_F(BinderTest, TouchesNothingThatItCannotRecord) {
  world_.driver_store.save_status = absl::ResourceExhaustedError("disk full");
  Start();
  EXPECT_EQ(drivers_.writes, 0);
  EXPECT_THAT(ReasonOf(kDisk), HasSubstr("disk full"));
  EXPECT_EQ(drivers_.claims(), 0);
}

TEST_F(BinderTest, BindsAFunctionThatComesLater) {
  Start();
  world_.host.AddGroup(fakes::GroupOf(3, {fakes::NvmeFunction("0000:01:01.0", "nvme")}));
  world_.config.resources = {};
  ASSERT_EQ(Reconfigure({.resources = {Want(ByAddress("0000:01:0*"))}, .pool = {}, .mode = {}}),
            absl::OkStatus());
  EXPECT_EQ(Bound("0000:01:01.0"), kBound);
  world_.host.AddGroup(fakes::GroupOf(4, {fakes::NvmeFunction("0000:01:02.0", "nvme")}));
  Rescan();
  EXPECT_EQ(Bound("0000:01:02.0"), kBound);
}

// It gets its group by being bound.
TEST_F(BinderTest, BindsAFunctionThatNeverHadADriver) {
  world_.host.ungrouped.push_back(fakes::NvmeFunction("0000:01:01.0", ""));
  world_.config.resources = {Want(ByAddress("0000:01:01.0"))};
  Start();
  EXPECT_EQ(Bound("0000:01:01.0"), kBound);
  world_.timers.Advance(RecoveryDelay::kSettled);
  EXPECT_EQ(ReasonOf("0000:01:01.0"), "");
  ASSERT_EQ(Reconfigure({.resources = {}, .pool = {}, .mode = {}}), absl::OkStatus());
  EXPECT_EQ(Bound("0000:01:01.0"), "");
}

TEST_F(BinderTest, GivesDriversBackWhenTheResourceIsRemoved) {
  Start();
  ASSERT_EQ(Reconfigure({.resources = {}, .pool = {}, .mode = {}}), absl::OkStatus());
  EXPECT_EQ(Bound(kDisk), "nvme");
  EXPECT_EQ(Bound(kSibling), "nvme");
  EXPECT_THAT(Recorded(), IsEmpty());
}

TEST_F(BinderTest, GivesDriversBackWhenOnlyBindIsRemoved) {
  Start();
  ASSERT_EQ(Reconfigure({.resources = {Want(ByAddress(kDisk, false))}, .pool = {}, .mode = {}}),
            absl::OkStatus());
  EXPECT_EQ(Bound(kDisk), "nvme");
  EXPECT_THAT(ReasonOf(kDisk), HasSubstr("is on driver nvme"));
}

TEST_F(BinderTest, SaysThatThereIsNoVfioPciWhereNothingIsToBeBound) {
  world_.config.resources = {Want(ByAddress(kDisk, /*bind=*/false))};
  Start();
  EXPECT_EQ(ReasonOf(kDisk), "0000:01:00.0 is on driver nvme, which is not a VFIO driver");
  drivers_.drivers.erase("vfio-pci");
  Rescan();
  EXPECT_EQ(ReasonOf(kDisk),
            "0000:01:00.0 is on driver nvme, which is not a VFIO driver; no driver vfio-pci");
}

TEST_F(BinderTest, OffersNothingThatIsBeingGivenBack) {
  Start();
  world_.timers.Advance(RecoveryDelay::kSettled);
  world_.broker().Reconfigure(
      {.resources = {Want(ByAddress(kDisk, false))}, .pool = {}, .mode = {}},
      [](const auto& change) { ASSERT_TRUE(change.ok()); });
  const absl::Status status = world_.Allocate(0, {kDisk});
  EXPECT_THAT(std::string(status.message()), HasSubstr("its driver is being changed"));
}

TEST_F(BinderTest, GivesNothingBackThatAPodHolds) {
  Start();
  world_.timers.Advance(RecoveryDelay::kSettled);
  ASSERT_EQ(world_.Allocate(0, {kDisk}), absl::OkStatus());
  world_.pods.Add("vm", "a.b/disk", {kDisk});
  ASSERT_EQ(Reconfigure({.resources = {}, .pool = {}, .mode = {}}), absl::OkStatus());
  world_.timers.Advance(5 * Binder::kAgain);
  EXPECT_EQ(Bound(kDisk), kBound);
  // The reservation ends, and then the drivers are given back.
  world_.pods.Remove("vm");
  world_.timers.Advance(2 * Binder::kAgain);
  EXPECT_EQ(Bound(kDisk), "nvme");
  EXPECT_FALSE(drivers_.blocked);
}

TEST_F(BinderTest, GivesNothingBackThatAVmmHolds) {
  Start();
  drivers_.held.insert(1);
  ASSERT_EQ(Reconfigure({.resources = {}, .pool = {}, .mode = {}}), absl::OkStatus());
  EXPECT_EQ(Bound(kDisk), kBound);
  EXPECT_THAT(Recorded(), SizeIs(2));
  drivers_.held.clear();
  world_.timers.Advance(Binder::kAgain);
  EXPECT_EQ(Bound(kDisk), "nvme");
  EXPECT_FALSE(drivers_.blocked);
}

TEST_F(BinderTest, KeepsWhatIsBoundOverARestartAndStillKnowsWhereItWas) {
  Start();
  const int writes = drivers_.writes;
  Start();
  EXPECT_EQ(drivers_.writes, writes);
  world_.config.resources = {};
  Start();
  EXPECT_EQ(Bound(kDisk), "nvme");
  EXPECT_EQ(Bound(kSibling), "nvme");
}

TEST_F(BinderTest, BindsAgainAfterAReboot) {
  Start();
  for (const char* address : {kDisk, kSibling}) drivers_.overrides.erase(address);
  for (Function& function : world_.host.Find(1)->functions) function.driver = "ice";
  drivers_.natural = {{kDisk, "ice"}, {kSibling, "ice"}};
  world_.boot_id = "next-boot";
  Start();
  EXPECT_EQ(Bound(kDisk), kBound);
  EXPECT_THAT(Recorded(), ElementsAre("0000:01:00.0 ice", "0000:01:00.1 ice"));
}

// A record of another boot is void: what is bound now, somebody else has bound.
TEST_F(BinderTest, GivesNothingBackThatTheHostBoundItself) {
  Start();
  world_.boot_id = "next-boot";
  world_.config.resources = {};
  Start();
  EXPECT_EQ(Bound(kDisk), kBound);
}

// Killed after each write, with the next daemon wanting the group bound, or not any more.
TEST_F(BinderTest, AKilledDaemonLeavesNothingThatTheNextOneDoesNotUnderstand) {
  constexpr int kWrites = 6;
  const Config config = world_.config;
  for (const bool wanted : {true, false}) {
    for (int writes = 0; writes <= kWrites; ++writes) {
      SCOPED_TRACE(testing::Message() << writes << " writes, then wanted: " << wanted);
      drivers_.die_after = drivers_.writes + writes;
      Start();
      // What the dead one would have recorded after that does not count.
      const auto record = std::exchange(world_.driver_store.record, std::nullopt);
      world_.driver_store.record =
          DriverRecord{.boot_id = world_.boot_id,
                       .former = {{.address = kDisk, .driver = "nvme", .driver_override = ""},
                                  {.address = kSibling, .driver = "nvme", .driver_override = ""}}};
      drivers_.die_after = -1;
      if (wanted) {
        Start();
        EXPECT_EQ(Bound(kDisk), kBound);
        EXPECT_EQ(Bound(kSibling), kBound);
        EXPECT_THAT(Recorded(), ElementsAre("0000:01:00.0 nvme", "0000:01:00.1 nvme"));
      }
      world_.config.resources = {};
      Start();
      EXPECT_EQ(Bound(kDisk), "nvme");
      EXPECT_EQ(Bound(kSibling), "nvme");
      EXPECT_THAT(Recorded(), IsEmpty());
      world_.config = config;
    }
  }
}

TEST_F(BinderTest, ForgetsAFunctionThatHasLeftTheHost) {
  Start();
  world_.host.RemoveGroup(1);
  Rescan();
  EXPECT_THAT(Recorded(), IsEmpty());
}

TEST_F(BinderTest, ADriverThatDoesNotLetGoHoldsUpNoOtherGroup) {
  world_.config.resources = {Want(ByAddress("0000:*"))};
  std::vector<std::pair<std::function<void()>, std::function<void()>>> threads;
  world_.aside = [&](std::function<void()> work, std::function<void()> done) {
    threads.emplace_back(std::move(work), std::move(done));
  };
  Start();
  ASSERT_THAT(threads, SizeIs(1));
  world_.timers.Advance(Binder::kPatience);
  ASSERT_THAT(threads, SizeIs(2)) << "the second group waits for the first";
  EXPECT_THAT(ReasonOf(kDisk), HasSubstr("has not let go for 30 s"));
  // Each of the two steps of the second, then those of the first.
  for (const std::size_t step : {1U, 2U, 0U, 3U}) {
    ASSERT_GT(threads.size(), step);
    const auto [work, done] = threads[step];
    work();
    done();
  }
  EXPECT_EQ(Bound(kOther), kBound);
  EXPECT_EQ(Bound(kDisk), kBound);
}

TEST_F(BinderTest, RefusesAGroupWithADeviceOfAnotherBusInUse) {
  world_.host.Find(1)->functions.push_back(
      {.name = "ethernet@1", .pci = {}, .driver = "macb", .cdev = {}, .numa_node = {}});
  Start();
  EXPECT_EQ(drivers_.writes, 0);
  EXPECT_THAT(ReasonOf(kDisk), HasSubstr("ethernet@1"));
}

// A selector for vfio-pci would match what another resource has bound.
TEST_F(BinderTest, TwoResourcesThatWillSelectOneGroupAreRefused) {
  Selector bound;
  bound.driver = "vfio-pci";
  world_.config.resources.push_back({.name = "a.b/any", .selectors = {bound}, .line = 9});
  EXPECT_THAT(std::string(world_.Start().message()),
              AllOf(HasSubstr("a.b/disk (line 3) and a.b/any (line 9) both select")));
}

TEST_F(BinderTest, ARecordThatCannotBeReadIsNotOverwrittenUnseen) {
  world_.driver_store.load_status = absl::PermissionDeniedError("drivers.json: denied");
  EXPECT_EQ(std::string(world_.Start().message()), "drivers.json: denied");
  world_.driver_store.load_status = absl::DataLossError("set aside");
  Start();
  EXPECT_EQ(Bound(kDisk), kBound);
}

}  // namespace
}  // namespace dp::core
