// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/lease_world.h"

// Another configuration while something is reserved.

namespace dp::core {
namespace {

using fakes::At, fakes::kMiB, fakes::kNic, fakes::kNvme, fakes::Nic, fakes::Nvme;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class ReconfigureTest : public fakes::LeaseWorld {
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

TEST_F(ReconfigureTest, AddsAndRemovesResources) {
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

TEST_F(ReconfigureTest, RefusesAClashAndChangesNothing) {
  Start();
  Config next = world_.config;
  next.mode = Mode::kObserve;
  next.resources[kNic].selectors = next.resources[kNvme].selectors;
  EXPECT_EQ(Reload(next).status().code(), absl::StatusCode::kInvalidArgument);
  Allocate(kNvme, {Nvme(1)});
  EXPECT_EQ(knob_.WindowOf(1), At(0));
}

TEST_F(ReconfigureTest, KeepsReservationsInAnotherPool) {
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

TEST_F(ReconfigureTest, WaitsForTheAllocationThatIsUnderWay) {
  Start();
  knob_.busy = {1};
  const auto waiting = world_.Ask(kNvme, {Nvme(1)});
  EXPECT_EQ(Reload(world_.config).status().code(), absl::StatusCode::kUnknown);
}

}  // namespace
}  // namespace dp::core
