// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/wire/from_proto.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>

namespace dp::status::wire {
namespace {

namespace proto = ::vfio_doorbell::admin::v1;

TEST(FromProtoTest, TakesWhatIsThere) {
  proto::NodeState message;
  message.mutable_daemon()->set_started_ms(1500);
  message.mutable_daemon()->set_mode(proto::MODE_OBSERVE);
  message.mutable_daemon()->set_ledger_error("no space");
  message.mutable_pool()->set_windows(7);
  proto::Resource* resource = message.add_resources();
  resource->set_name("r");
  resource->set_watched(true);
  proto::Device* device = message.add_devices();
  device->set_id("0000:00:10.0");
  device->set_state(proto::DEVICE_STARTED);
  device->set_numa_node(-1);
  device->mutable_window()->set_base(9);
  device->mutable_pod()->set_namespace_("s");
  device->mutable_pod()->set_name("n");
  device->mutable_last_failure()->set_reason("f");
  message.add_leftovers()->set_group(3);
  proto::Occurrence* occurrence = message.add_occurrences();
  occurrence->set_sequence(5);
  occurrence->mutable_pod()->set_name("n");

  const NodeState state = FromProto(message);
  EXPECT_EQ(state.daemon.started, Time(std::chrono::milliseconds(1500)));
  EXPECT_EQ(state.daemon.mode, Mode::kObserve);
  EXPECT_EQ(state.daemon.ledger_error, "no space");
  EXPECT_EQ(state.pool.windows, 7U);
  EXPECT_TRUE(state.resources.at(0).watched);
  const Device& its = state.devices.at(0);
  EXPECT_EQ(its.state, DeviceState::kStarted);
  EXPECT_EQ(its.numa_node, -1);
  EXPECT_EQ(its.window, (Window{.base = 9, .size = 0}));
  EXPECT_EQ(its.pod, (Pod{.space = "s", .name = "n"}));
  EXPECT_EQ(its.last_failure->reason, "f");
  EXPECT_EQ(state.leftovers.at(0).group, 3U);
  EXPECT_EQ(state.occurrences.at(0).sequence, 5U);
  EXPECT_EQ(state.occurrences.at(0).daemon_started, state.daemon.started);
}

TEST(FromProtoTest, TakesWhatIsAbsentOrUnknownForEmpty) {
  proto::NodeState message;
  message.add_devices()->set_state(static_cast<proto::DeviceState>(99));
  message.mutable_daemon()->set_started_ms(std::numeric_limits<std::int64_t>::min());
  const NodeState state = FromProto(message);
  EXPECT_EQ(state.devices.at(0).state, DeviceState::kUnknown);
  EXPECT_EQ(state.devices.at(0).numa_node, std::nullopt);
  EXPECT_EQ(state.devices.at(0).window, std::nullopt);
  EXPECT_EQ(state.daemon.mode, Mode::kUnknown);
  EXPECT_EQ(state.daemon.started, Time());
  message.mutable_daemon()->set_started_ms(std::numeric_limits<std::int64_t>::max());
  EXPECT_GT(FromProto(message).daemon.started, Time());
}

}  // namespace
}  // namespace dp::status::wire
