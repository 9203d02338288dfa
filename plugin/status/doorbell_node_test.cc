// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/doorbell_node.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <set>
#include <string>

#include "tests/fakes/node_states.h"

namespace dp::status {
namespace {

using Json = nlohmann::json;

const Told kNothing;

Json StatusOf(const NodeState& state, std::size_t most = kMostDeviceBytes) {
  return DoorbellNodeStatus(state, ConditionOf(state), kNothing, most);
}

TEST(DoorbellNodeTest, GoesWithItsNode) {
  const Json object = DoorbellNode("node-a", "uid-1");
  EXPECT_EQ(object["metadata"]["name"], "node-a");
  EXPECT_EQ(object["metadata"]["ownerReferences"],
            Json::array(
                {{{"apiVersion", "v1"}, {"kind", "Node"}, {"name", "node-a"}, {"uid", "uid-1"}}}));
}

TEST(DoorbellNodeTest, SaysWhatIsWhere) {
  NodeState state = fakes::GoodState(1);
  state.devices.push_back(fakes::StartedDevice(1, "vm-1"));
  state.devices[1].numa_node = 0;
  state.devices[1].last_failure =
      Failure{.reason = "group_busy", .message = "busy", .time = fakes::TimeAt(1)};
  state.devices.push_back(fakes::UnhealthyDevice(2));
  state.leftovers = {{.device = "0000:07:10.0",
                      .group = 7,
                      .window = {.base = 0x9700000, .size = 0x100000},
                      .since = fakes::TimeAt(0)}};
  const Json status = StatusOf(state);
  EXPECT_EQ(status["ready"], "True");
  EXPECT_EQ(status["counts"], (Json{{"devices", 3}, {"healthy", 2}, {"reserved", 1}}));
  EXPECT_EQ(status["daemon"]["mode"], "Enforce");
  EXPECT_EQ(status["pool"]["start"], "0x09000000");
  EXPECT_EQ(status["resources"][0]["name"], "vendor.example/nvme");
  EXPECT_EQ(status["resources"][0]["watched"], true);
  EXPECT_EQ(status["lastError"]["reason"], "GroupBusy");
  const Json error{{"reason", "GroupBusy"}, {"message", "busy"}, {"time", "2026-11-26T12:00:01Z"}};
  EXPECT_EQ(status["devices"], Json::array({{{"id", "0000:00:10.0"},
                                             {"resource", "vendor.example/nvme"},
                                             {"group", 0},
                                             {"driver", "vfio-pci"},
                                             {"state", "Free"},
                                             {"since", "2026-11-26T11:59:00Z"}},
                                            {{"id", "0000:01:10.0"},
                                             {"resource", "vendor.example/nvme"},
                                             {"group", 1},
                                             {"driver", "vfio-pci"},
                                             {"numaNode", 0},
                                             {"state", "Started"},
                                             {"window", "0x09100000 0x00100000"},
                                             {"pod", "vms/vm-1"},
                                             {"lastError", error},
                                             {"since", "2026-11-26T11:59:00Z"}},
                                            {{"id", "0000:02:10.0"},
                                             {"resource", "vendor.example/nvme"},
                                             {"group", 2},
                                             {"driver", "vfio-pci"},
                                             {"state", "Unhealthy"},
                                             {"reason", "NoDriver"},
                                             {"message", "it has no driver"},
                                             {"since", "2026-11-26T11:59:00Z"}}}));
  EXPECT_EQ(status["leftovers"][0]["window"], "0x09700000 0x00100000");
  EXPECT_FALSE(status.contains("devicesLeftOut"));
}

TEST(DoorbellNodeTest, KeepsAllOfALargeHostBelowItsBound) {
  NodeState state = fakes::GoodState(4096);
  for (std::uint32_t i = 0; i < 2048; ++i) {
    state.devices[i] = fakes::StartedDevice(i, "virt-launcher-a-vm-of-somebody-x7x2k");
  }
  const auto start = std::chrono::steady_clock::now();
  const Json status = StatusOf(state);
  const std::size_t bytes = status.dump().size();
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
  std::printf("4,096 devices, half of them in use: %zu bytes, %.0f ms\n", bytes, time.count());
  EXPECT_EQ(status["devices"].size(), 4096U);
  EXPECT_LT(bytes, 1U << 20U);
}

TEST(DoorbellNodeTest, StaysBelowItsBoundWhateverItIsTold) {
  NodeState state = fakes::GoodState(4096);
  const std::string much(5000, '\xff');
  for (Device& device : state.devices) {
    device = fakes::UnhealthyDevice(device.group);
    device.id = device.resource = device.function = device.driver = device.unhealthy = much;
    device.pod = Pod{.space = much, .name = much};
    device.window = Window{.base = ~0ULL, .size = ~0ULL};
    device.last_failure = Failure{.reason = much, .message = much, .time = fakes::TimeAt(0)};
  }
  state.resources.assign(4096, {.name = much});
  state.leftovers.assign(4096, {.device = much, .window = {}, .since = fakes::TimeAt(0)});
  state.daemon.version = state.daemon.config_hash = state.daemon.boot_id = much;
  const Json status = StatusOf(state);
  EXPECT_LT(status.dump().size(), 1000U << 10U);
  EXPECT_EQ(status["devices"].size() + status["devicesLeftOut"].get<std::size_t>(), 4096U);
}

TEST(DoorbellNodeTest, LeavesOutFirstWhatNobodyAsksFor) {
  NodeState state = fakes::GoodState(4);
  state.devices[1] = fakes::UnhealthyDevice(1);
  state.devices[2] = fakes::StartedDevice(2, "vm");
  const auto ids_within = [&](std::size_t most) {
    std::string groups;
    const Json status = StatusOf(state, most);
    for (const Json& device : status["devices"]) {
      groups += std::to_string(device["group"].get<int>());
    }
    return groups;
  };
  EXPECT_EQ(ids_within(kMostDeviceBytes), "0123");
  std::set<std::string> seen;
  for (std::size_t most = 1000; most > 0; --most) seen.insert(ids_within(most));
  EXPECT_EQ(seen, (std::set<std::string>{"0123", "012", "12", "1", ""}));
}

TEST(DoorbellNodeTest, SaysWhatWasTold) {
  const NodeState state = fakes::GoodState(1);
  const Told told{.daemon_started = fakes::TimeAt(0), .sequence = 41};
  const Json object{{"status", DoorbellNodeStatus(state, ConditionOf(state), told)}};
  EXPECT_EQ(FindTold(object), told);
  EXPECT_EQ(FindTold(Json{{"status", StatusOf(state)}}), kNothing);
  for (const char* text :
       {"{}", R"({"status":{"told":7}})", R"({"status":{"told":{"daemonStarted":"x"}}})",
        R"({"status":{"told":{"daemonStarted":-5,"sequence":1}}})",
        R"({"status":{"told":{"daemonStarted":9223372036854775807,"sequence":1}}})"}) {
    EXPECT_EQ(FindTold(Json::parse(text)), kNothing) << text;
  }
}

TEST(DoorbellNodeTest, MarksWhatAFormerDaemonSaid) {
  Json status = StatusOf(fakes::GoodState(2));
  const Json devices = status["devices"];
  MarkStatus(ConditionWithoutDaemon("it is gone"), status);
  EXPECT_EQ(status["ready"], "Unknown");
  EXPECT_EQ(status["reason"], "DaemonSilent");
  EXPECT_EQ(status["devices"], devices);
}

}  // namespace
}  // namespace dp::status
