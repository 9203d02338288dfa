// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace dp::monitor {
namespace {

namespace v1 = ::vfio_doorbell::admin::v1;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Troubles(const v1::NodeState& state) {
  std::vector<std::string> troubles;
  for (const Finding& finding : Judge(state)) {
    if (finding.for_ready && !finding.trouble.empty())
      troubles.push_back(finding.check + ": " + finding.trouble);
  }
  return troubles;
}

void AddResource(v1::NodeState& state, const std::string& name, bool watched) {
  v1::Resource& resource = *state.add_resources();
  resource.set_name(name);
  resource.set_watched(watched);
}

v1::Device& AddDevice(v1::NodeState& state, const std::string& id, v1::DeviceState in,
                      std::int64_t since_ms, std::int64_t failed_ms = 0,
                      const std::string& reason = "window_not_set") {
  v1::Device& device = *state.add_devices();
  device.set_id(id);
  device.set_state(in);
  device.set_since_ms(since_ms);
  if (failed_ms != 0) {
    device.mutable_last_failure()->set_reason(reason);
    device.mutable_last_failure()->set_time_ms(failed_ms);
  }
  return device;
}

TEST(FindingsTest, LikesANodeWithoutDevices) {
  v1::NodeState state;
  AddResource(state, "vendor.example/nvme", true);
  EXPECT_THAT(Troubles(state), IsEmpty());
  EXPECT_EQ(Judge(state).size(), 4);
}

TEST(FindingsTest, NamesResourcesThatTheKubeletDoesNotWatch) {
  v1::NodeState state;
  AddResource(state, "a.example/a", false);
  AddResource(state, "a.example/b", true);
  EXPECT_THAT(Troubles(state), ElementsAre("registered: the kubelet does not watch a.example/a"));
  for (const char* name : {"a.example/c", "a.example/d", "a.example/e", "a.example/f"}) {
    AddResource(state, name, false);
  }
  EXPECT_THAT(Troubles(state), ElementsAre("registered: the kubelet does not watch a.example/a, "
                                           "a.example/c, a.example/d and 2 more"));
}

TEST(FindingsTest, DoesNotShowWhereTheLedgerIs) {
  v1::NodeState state;
  state.mutable_daemon()->set_ledger_error("write /var/lib/secret: No space left on device");
  EXPECT_THAT(Troubles(state),
              ElementsAre("ledger: it cannot be written, so nothing is given out"));
}

TEST(FindingsTest, LooksAtTheLastCheckOfWhatAPodHas) {
  v1::NodeState state;
  AddDevice(state, "0000:00:01.0", v1::DEVICE_STARTED, 100, 90);   // checked again since
  AddDevice(state, "0000:00:02.0", v1::DEVICE_FREE, 100, 200);     // nobody has it
  AddDevice(state, "0000:00:03.0", v1::DEVICE_UNHEALTHY, 1, 200);  // nobody can have it
  AddDevice(state, "0000:00:04.0", v1::DEVICE_STARTED, 100);
  AddDevice(state, "0000:00:07.0", v1::DEVICE_STARTED, 100, 200, "pod_not_listed");
  AddDevice(state, "0000:00:08.0", v1::DEVICE_STARTED, 100, 200, "of_a_newer_daemon");
  EXPECT_THAT(Troubles(state), IsEmpty());
  AddDevice(state, "0000:00:05.0", v1::DEVICE_ALLOCATED, 100, 100);
  AddDevice(state, "0000:00:06.0", v1::DEVICE_STARTED, 100, 200);
  EXPECT_THAT(Troubles(state),
              ElementsAre("verified: the last check failed of 0000:00:05.0 (window_not_set), "
                          "0000:00:06.0 (window_not_set)"));
}

TEST(FindingsTest, LeavesToOthersWhatStopsNoPod) {
  v1::NodeState state;
  AddResource(state, "a.example/a", true);
  state.mutable_daemon()->set_config_error("config.yaml:3: no such key");
  state.mutable_daemon()->set_pods_error("no answer yet");
  state.mutable_daemon()->set_groups_without_knob(4);
  state.mutable_pool()->set_windows(4);
  state.mutable_pool()->set_free(0);
  state.add_leftovers()->set_group(7);
  AddDevice(state, "0000:00:01.0", v1::DEVICE_UNHEALTHY, 1);
  EXPECT_THAT(Troubles(state), IsEmpty());
  EXPECT_EQ(Judge(state).back().check, "pods");
  EXPECT_EQ(Judge(state).back().trouble, "the kubelet does not say which there are");
}

}  // namespace
}  // namespace dp::monitor
