// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/condition.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/fakes/node_states.h"

namespace dp::status {
namespace {

using Json = nlohmann::json;

std::string Brief(const NodeState& state) {
  const Condition condition = ConditionOf(state);
  return condition.status + " " + condition.reason + ": " + condition.message;
}

TEST(ConditionTest, IsReadyWhenAllIsWell) {
  EXPECT_EQ(Brief(fakes::GoodState(3)), "True Ready: all of 3 devices are healthy");
  EXPECT_EQ(Brief(fakes::GoodState(0)), "True NoDevice: this node has no device to offer");
}

TEST(ConditionTest, DoesNotChangeWithAPod) {
  NodeState state = fakes::GoodState(3);
  const Condition before = ConditionOf(state);
  state.devices[1] = fakes::StartedDevice(1, "vm");
  --state.pool.free;
  EXPECT_EQ(ConditionOf(state), before);
}

TEST(ConditionTest, IsNotReadyWhenNoVmCouldStart) {
  NodeState state = fakes::GoodState(2);
  state.daemon.ledger_error = "/var/lib: no space";
  EXPECT_EQ(Brief(state), "False LedgerNotWritten: /var/lib: no space");

  state = fakes::GoodState(2);
  state.daemon.groups_with_knob = 0;
  state.daemon.groups_without_knob = 2;
  EXPECT_EQ(ConditionOf(state).reason, "KernelWithoutKnob");
  EXPECT_EQ(ConditionOf(state).status, "False");

  state = fakes::GoodState(2);
  state.resources[0].watched = false;
  EXPECT_EQ(Brief(state), "False NotRegistered: the kubelet does not watch vendor.example/nvme");
  state.resources[0].failure = "there is no socket";
  EXPECT_EQ(Brief(state),
            "False NotRegistered: the kubelet does not watch vendor.example/nvme: there is no "
            "socket");

  state = fakes::GoodState(2);
  state.daemon.knob_error = "cannot open it";
  EXPECT_EQ(Brief(state), "False KnobNotWritable: cannot open it");

  state = fakes::GoodState(0);
  state.devices = {fakes::UnhealthyDevice(0), fakes::UnhealthyDevice(1)};
  EXPECT_EQ(Brief(state),
            "False NoHealthyDevice: none of 2 devices is healthy; 0000:00:10.0: it has no driver");

  state = fakes::GoodState(2);
  state.pool.free = 0;
  EXPECT_EQ(Brief(state),
            "False PoolExhausted: there are free devices, but all of the 1024 windows are in use");
  // Nobody could take one anyway.
  for (std::uint32_t i = 0; i < 2; ++i) state.devices[i] = fakes::StartedDevice(i, "vm");
  EXPECT_EQ(ConditionOf(state).status, "True");
}

TEST(ConditionTest, SaysWhatIsNotQuiteRight) {
  NodeState state = fakes::GoodState(2);
  state.daemon.config_error = "config.yaml:3: key: no";
  EXPECT_EQ(Brief(state),
            "True ConfigRefused: the former configuration stays in force: config.yaml:3: key: no");
  state = fakes::GoodState(2);
  state.devices[1] = fakes::UnhealthyDevice(1);
  EXPECT_EQ(Brief(state),
            "True DevicesUnhealthy: 1 of 2 devices are healthy; 0000:01:10.0: it has no driver");
  state = fakes::GoodState(2);
  state.daemon.pods_error = "no socket";
  EXPECT_EQ(ConditionOf(state).reason, "PodsUnknown");
  state = fakes::GoodState(2);
  // An unpatched kernel is what this mode is for.
  state.daemon.mode = Mode::kObserve;
  state.daemon.groups_with_knob = 0;
  state.daemon.groups_without_knob = 2;
  EXPECT_EQ(ConditionOf(state).reason, "Observing");
  EXPECT_EQ(ConditionOf(state).status, "True");
}

TEST(ConditionTest, IsUnknownWithoutTheDaemon) {
  const Condition condition = ConditionWithoutDaemon("connection refused\nby it");
  EXPECT_EQ(condition.status, "Unknown");
  EXPECT_EQ(condition.message, "the daemon does not answer: connection refused?by it");
}

TEST(ConditionTest, KeepsTheTransitionWhileTheStatusIsTheSame) {
  const Condition wanted{.status = "True", .reason = "Ready", .message = "b"};
  const WrittenCondition same{.condition = {.status = "True", .reason = "NoDevice", .message = "a"},
                              .transition = "2026-01-01T00:00:00Z"};
  Json patch = ConditionPatch(same, wanted, fakes::TimeAt(0))["status"]["conditions"][0];
  EXPECT_EQ(patch, (Json{{"type", "VfioDoorbellReady"},
                         {"status", "True"},
                         {"reason", "Ready"},
                         {"message", "b"},
                         {"lastHeartbeatTime", "2026-11-26T12:00:00Z"},
                         {"lastTransitionTime", "2026-01-01T00:00:00Z"}}));
  WrittenCondition other = same;
  other.condition.status = "Unknown";
  for (const WrittenCondition& written : {other, WrittenCondition()}) {
    patch = ConditionPatch(written, wanted, fakes::TimeAt(0))["status"]["conditions"][0];
    EXPECT_EQ(patch["lastTransitionTime"], "2026-11-26T12:00:00Z");
  }
}

TEST(ConditionTest, FindsItAmongOthersAndInAnything) {
  const Json mine{{"type", "VfioDoorbellReady"},
                  {"status", "True"},
                  {"reason", "Ready"},
                  {"message", "m"},
                  {"lastTransitionTime", "t"}};
  Json node{{"status", {{"conditions", Json::array({{{"type", "Ready"}}, mine})}}}};
  EXPECT_EQ(FindCondition(node).condition, (Condition{"True", "Ready", "m"}));
  EXPECT_EQ(FindCondition(node).transition, "t");
  for (const char* text :
       {"{}", "[]", R"({"status":7})", R"({"status":{"conditions":{}}})",
        R"({"status":{"conditions":[1,{"type":7}]}})",
        R"({"status":{"conditions":[{"type":"VfioDoorbellReady","status":7}]}})"}) {
    EXPECT_EQ(FindCondition(Json::parse(text)).transition, "") << text;
  }
}

}  // namespace
}  // namespace dp::status
