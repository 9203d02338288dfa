// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/driver_change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "plugin/core/release.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/fake_pci_drivers.h"

namespace dp::core {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kDisk[] = "0000:01:00.0";
constexpr char kSound[] = "0000:01:00.1";
constexpr char kBare[] = "0000:01:00.2";  // without a driver
constexpr std::uint32_t kGroup = 7;

// A group of three functions, one of which has a driver_override that is not ours.
class DriverChangeTest : public testing::Test {
 protected:
  DriverChangeTest() {
    host_.AddGroup(fakes::GroupOf(
        kGroup, {fakes::NvmeFunction(kDisk, "nvme"), fakes::NvmeFunction(kSound, "snd_hda_intel"),
                 fakes::NvmeFunction(kBare, "")}));
    drivers_.natural = {{kDisk, "nvme"}, {kSound, "nvme"}};
    drivers_.overrides = {{kSound, "snd_hda_intel"}};
  }

  std::string State() {
    return drivers_.StateOf(kDisk) + " " + drivers_.StateOf(kSound) + " " + drivers_.StateOf(kBare);
  }
  DriverChange Bind() {
    auto functions = ClaimFunctions(drivers_, addresses_);
    if (!functions.ok()) return {.status = functions.status(), .stuck = {}};
    former_ = functions->states;
    return BindFunctions(drivers_, *std::move(functions), former_);
  }

  const std::vector<std::string> addresses_{kDisk, kSound, kBare};
  const std::string before_ = "nvme snd_hda_intel!snd_hda_intel ";
  const std::string after_ = "vfio-pci!vfio-pci vfio-pci!vfio-pci vfio-pci!vfio-pci";
  fakes::FakeHost host_;
  fakes::FakePciDrivers drivers_{host_};
  std::vector<DriverState> former_;
};

TEST_F(DriverChangeTest, BindsAllAndGivesAllBack) {
  ASSERT_EQ(State(), before_);
  ASSERT_EQ(Bind().status, absl::OkStatus());
  EXPECT_EQ(State(), after_);
  EXPECT_EQ(drivers_.claims(), 0);
  const DriverChange change = RestoreFunctions(drivers_, kGroup, former_);
  EXPECT_EQ(change.status, absl::OkStatus());
  EXPECT_THAT(change.stuck, IsEmpty());
  EXPECT_EQ(State(), before_);
  EXPECT_EQ(drivers_.claims(), 0);
  EXPECT_FALSE(drivers_.blocked);
}

TEST_F(DriverChangeTest, LooksAtAllBeforeItTouchesOne) {
  drivers_.used[kBare] = "is the console";
  EXPECT_THAT(std::string(Bind().status.message()), HasSubstr("is the console"));
  EXPECT_EQ(drivers_.writes, 0);
  EXPECT_EQ(drivers_.claims(), 0);
}

TEST_F(DriverChangeTest, DoesNotTouchWhatIsOnVfioAlready) {
  ASSERT_EQ(Bind().status, absl::OkStatus());
  drivers_.held.insert(kGroup);
  const int writes = drivers_.writes;
  EXPECT_EQ(Bind().status, absl::OkStatus());
  EXPECT_EQ(drivers_.writes, writes);
  EXPECT_FALSE(drivers_.blocked);
}

TEST_F(DriverChangeTest, TouchesNothingWithoutVfioPci) {
  drivers_.drivers.erase("vfio-pci");
  EXPECT_THAT(std::string(Bind().status.message()), HasSubstr("no driver vfio-pci"));
  EXPECT_EQ(drivers_.writes, 0);
}

// Whichever write the kernel refuses, the group is as it was.
TEST_F(DriverChangeTest, IsRolledBackWhereverItFails) {
  constexpr int kWrites = 8;  // three for each with a driver, two for the one without
  for (int write = 1; write <= kWrites; ++write) {
    SCOPED_TRACE(write);
    drivers_.fail_at = drivers_.writes + write;
    const DriverChange change = Bind();
    EXPECT_THAT(std::string(change.status.message()), HasSubstr("all is as it was before"));
    EXPECT_THAT(change.stuck, IsEmpty());
    EXPECT_EQ(State(), before_);
    EXPECT_EQ(drivers_.claims(), 0);
  }
  drivers_.fail_at = 0;
  const int before = drivers_.writes;
  ASSERT_EQ(Bind().status, absl::OkStatus());
  EXPECT_EQ(drivers_.writes - before, kWrites) << "the loop above does not try every write";
}

TEST_F(DriverChangeTest, IsRolledBackWhenVfioPciDoesNotTakeOne) {
  drivers_.refused.insert(kBare);
  EXPECT_THAT(std::string(Bind().status.message()),
              HasSubstr("vfio-pci does not take 0000:01:00.2"));
  EXPECT_EQ(State(), before_);
}

TEST_F(DriverChangeTest, SaysWhatCannotBePutBack) {
  drivers_.refused.insert(kBare);
  drivers_.natural[kDisk] = "ice";
  const DriverChange change = Bind();
  EXPECT_THAT(change.stuck, ElementsAre(kDisk));
  EXPECT_THAT(std::string(change.status.message()),
              HasSubstr("0000:01:00.0 was on driver nvme and is on ice now"));
}

// A daemon that is killed between two writes leaves the record; the next one restores from it.
TEST_F(DriverChangeTest, IsGivenBackFromWhereverItStopped) {
  for (int writes = 0; writes <= 8; ++writes) {
    SCOPED_TRACE(writes);
    drivers_.die_after = drivers_.writes + writes;
    Bind();
    drivers_.die_after = -1;
    const DriverChange change = RestoreFunctions(drivers_, kGroup, former_);
    EXPECT_EQ(change.status, absl::OkStatus());
    EXPECT_EQ(State(), before_);
  }
}

TEST_F(DriverChangeTest, GivesBackNothingThatAVmmHas) {
  ASSERT_EQ(Bind().status, absl::OkStatus());
  drivers_.held.insert(kGroup);
  const int writes = drivers_.writes;
  const DriverChange change = RestoreFunctions(drivers_, kGroup, former_);
  EXPECT_TRUE(absl::IsUnavailable(change.status));
  EXPECT_THAT(change.stuck, ElementsAre(kDisk, kSound, kBare));
  EXPECT_EQ(drivers_.writes, writes);
}

TEST_F(DriverChangeTest, LeavesWhatSomebodyElseHasBoundSince) {
  ASSERT_EQ(Bind().status, absl::OkStatus());
  host_.Find(kGroup)->functions[0].driver = "ice";
  drivers_.overrides[kDisk] = "ice";
  EXPECT_EQ(RestoreFunctions(drivers_, kGroup, former_).status, absl::OkStatus());
  EXPECT_EQ(State(), "ice!ice snd_hda_intel!snd_hda_intel ");
}

TEST_F(DriverChangeTest, GivesBackTheRestWhenOneHasGone) {
  ASSERT_EQ(Bind().status, absl::OkStatus());
  auto& functions = host_.Find(kGroup)->functions;
  functions.erase(functions.begin());
  EXPECT_EQ(RestoreFunctions(drivers_, kGroup, former_).status, absl::OkStatus());
  EXPECT_EQ(State(), "gone!vfio-pci snd_hda_intel!snd_hda_intel ");
}

TEST_F(DriverChangeTest, EverythingIsReleasedButWhatAVmmHas) {
  host_.AddGroup(fakes::GroupOf(8, {fakes::NvmeFunction("0000:02:00.0", "vfio-pci")}));
  ASSERT_EQ(Bind().status, absl::OkStatus());
  drivers_.held.insert(8);
  DriverRecord record{.boot_id = "boot", .former = former_};
  record.former.push_back({.address = "0000:02:00.0", .driver = "nvme", .driver_override = ""});
  record.former.push_back({.address = "0000:09:00.0", .driver = "nvme", .driver_override = ""});
  const auto released = ReleaseDrivers(host_.inventory, drivers_, record);
  EXPECT_EQ(State(), before_);
  EXPECT_EQ(drivers_.DriverOf("0000:02:00.0"), "vfio-pci");
  ASSERT_THAT(record.former, testing::SizeIs(1));
  EXPECT_EQ(record.former[0].address, "0000:02:00.0");
  EXPECT_THAT(released, testing::SizeIs(3));
}

TEST_F(DriverChangeTest, SaysWhenTheFormerDriverDoesNotComeBack) {
  ASSERT_EQ(Bind().status, absl::OkStatus());
  drivers_.drivers.erase("nvme");
  const DriverChange change = RestoreFunctions(drivers_, kGroup, former_);
  EXPECT_THAT(std::string(change.status.message()),
              HasSubstr("was on driver nvme and is on none now"));
  EXPECT_THAT(change.stuck, ElementsAre(kDisk));
  drivers_.drivers.insert("nvme");
  EXPECT_EQ(RestoreFunctions(drivers_, kGroup, former_).status, absl::OkStatus());
  EXPECT_EQ(State(), before_);
}

}  // namespace
}  // namespace dp::core
