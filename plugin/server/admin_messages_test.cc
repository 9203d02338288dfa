// SPDX-License-Identifier: Apache-2.0
#include "plugin/server/admin_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace dp::server {
namespace {

using ::testing::Contains;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

core::DeviceStatus Device(const std::string& id, core::DeviceState state) {
  core::DeviceStatus device;
  device.id = id;
  device.resource = "v.example/nvme";
  device.state = state;
  return device;
}

core::NodeStatus Node() {
  core::NodeStatus node;
  node.windows = 4;
  node.free_windows = 3;
  node.groups_with_knob = 2;
  core::DeviceStatus started = Device("0000:01:00.0", core::DeviceState::kStarted);
  started.group = 7;
  started.driver = "vfio-pci";
  started.numa_node = 1;
  started.since_ms = 11;
  started.window = {.base = 0x09100000, .size = 0x00100000};
  started.pod = core::PodName{"default", "vm"};
  started.last_failure = {.reason = base::Reason::kGroupBusy, .message = "held", .time_ms = 5};
  core::DeviceStatus ill = Device("0000:02:00.0", core::DeviceState::kUnhealthy);
  ill.reason = base::Reason::kForeignDriver;
  ill.unhealthy = "it is on driver nvme";
  node.devices = {started, ill};
  node.leftovers = {{.device = "0000:03:00.0", .group = 9, .window = {.base = 1, .size = 2}}};
  return node;
}

DaemonFacts Facts() {
  return {.version = "1.2.3",
          .boot_id = "this-boot",
          .started_ms = 1,
          .config_file = "/etc/c.yaml",
          .config_generation = 2,
          .config_hash = "0011aabb",
          .config_error = "c.yaml:3: no",
          .kubelet_restarts = 1,
          .resources = {{.name = "v.example/nvme",
                         .watched = true,
                         .watched_since_ms = 3,
                         .list_sent_ms = 1500,
                         .registrations = 2,
                         .cdi = true},
                        {.name = "v.example/other"}}};
}

TEST(AdminMessagesTest, StateHasWhatIsKnown) {
  core::StatusBoard board;
  board.Note({.time_ms = 9,
              .warning = true,
              .reason = base::Reason::kGroupBusy,
              .message = "held",
              .device = "0000:01:00.0",
              .pod = core::PodName{"default", "vm"}});
  board.Update(Node(), 77);
  admin::NodeState state;
  FillState(board, Facts(), state);
  EXPECT_EQ(state.revision(), board.revision());
  EXPECT_EQ(state.daemon().version(), "1.2.3");
  EXPECT_EQ(state.daemon().mode(), admin::MODE_ENFORCE);
  EXPECT_EQ(state.daemon().config_error(), "c.yaml:3: no");
  EXPECT_EQ(state.pool().free(), 3U);
  ASSERT_EQ(state.resources_size(), 2);
  EXPECT_TRUE(state.resources(0).watched());
  EXPECT_TRUE(state.resources(0).cdi());
  ASSERT_EQ(state.devices_size(), 2);
  const admin::Device& started = state.devices(0);
  EXPECT_EQ(started.state(), admin::DEVICE_STARTED);
  EXPECT_TRUE(started.healthy());
  EXPECT_EQ(started.window().base(), 0x09100000U);
  EXPECT_EQ(started.pod().namespace_(), "default");
  EXPECT_EQ(started.since_ms(), 11);
  EXPECT_EQ(started.numa_node(), 1);
  EXPECT_EQ(started.last_failure().reason(), "group_busy");
  const admin::Device& ill = state.devices(1);
  EXPECT_EQ(ill.state(), admin::DEVICE_UNHEALTHY);
  EXPECT_EQ(ill.reason(), "foreign_driver");
  EXPECT_EQ(ill.since_ms(), 77);
  EXPECT_FALSE(ill.has_window() || ill.has_pod() || ill.has_numa_node() || ill.has_last_failure());
  ASSERT_EQ(state.leftovers_size(), 1);
  EXPECT_EQ(state.leftovers(0).group(), 9U);
  ASSERT_EQ(state.occurrences_size(), 1);
  EXPECT_EQ(state.occurrences(0).sequence(), 1U);
  EXPECT_EQ(state.occurrences(0).pod().name(), "vm");
}

// By name and labels, as Prometheus shows them.
std::map<std::string, double> Values(const admin::GetMetricsResponse& metrics) {
  std::map<std::string, double> values;
  for (const admin::MetricFamily& family : metrics.families()) {
    for (const admin::Metric& metric : family.metrics()) {
      std::string labels;
      for (const admin::Label& label : metric.labels()) {
        labels += (labels.empty() ? "" : ",") + label.name() + "=" + label.value();
      }
      values[family.name() + "{" + labels + "}"] = family.type() == admin::METRIC_HISTOGRAM
                                                       ? static_cast<double>(metric.count())
                                                       : metric.value();
    }
  }
  return values;
}

TEST(AdminMessagesTest, MetricsAreWhatWasCounted) {
  core::Statistics statistics;
  statistics.allocations[{"v.example/nvme", "ok"}] = 5;
  statistics.starts[{"v.example/nvme", "group_changed"}] = 1;
  statistics.allocate.Add(std::chrono::microseconds(60));
  statistics.kernel_writes["EBUSY"] = 3;
  admin::GetMetricsResponse metrics;
  FillMetrics(Node(), Facts(), statistics, 2000, metrics);
  const auto values = Values(metrics);
  for (const auto& [name, value] : std::map<std::string, double>{
           {"vfio_doorbell_build_info{version=1.2.3}", 1},
           {"vfio_doorbell_devices{resource=v.example/nvme,health=healthy,reason=}", 1},
           {"vfio_doorbell_devices{resource=v.example/nvme,health=unhealthy,reason=foreign_driver}",
            1},
           {"vfio_doorbell_windows{state=started}", 1},
           {"vfio_doorbell_windows{state=allocated}", 0},
           {"vfio_doorbell_windows{state=left_over}", 1},
           {"vfio_doorbell_pool_windows_free{}", 3},
           {"vfio_doorbell_groups{knob=present}", 2},
           {"vfio_doorbell_kubelet_registrations_total{resource=v.example/nvme}", 2},
           {"vfio_doorbell_kubelet_watched{resource=v.example/other}", 0},
           {"vfio_doorbell_kubelet_stream_age_seconds{resource=v.example/nvme}", 0.5},
           {"vfio_doorbell_kubelet_restarts_total{}", 1},
           {"vfio_doorbell_allocations_total{resource=v.example/nvme,result=ok}", 5},
           {"vfio_doorbell_container_starts_total{resource=v.example/nvme,result=group_changed}",
            1},
           {"vfio_doorbell_allocate_duration_seconds{}", 1},
           {"vfio_doorbell_kernel_writes_total{errno=EBUSY}", 3},
           {"vfio_doorbell_config_generation{}", 2},
           {"vfio_doorbell_config_info{hash=0011aabb}", 1},
           {"vfio_doorbell_config_refused{}", 1},
       }) {
    EXPECT_THAT(values, Contains(Pair(name, value)));
  }
  EXPECT_THAT(
      values,
      Not(Contains(Key("vfio_doorbell_kubelet_stream_age_seconds{resource=v.example/other}"))));
}

TEST(AdminMessagesTest, BucketsAreCumulative) {
  core::Statistics statistics;
  for (const int microseconds : {60, 70, 300}) {
    statistics.allocate.Add(std::chrono::microseconds(microseconds));
  }
  admin::GetMetricsResponse metrics;
  FillMetrics({}, Facts(), statistics, 0, metrics);
  for (const admin::MetricFamily& family : metrics.families()) {
    if (family.name() != "vfio_doorbell_allocate_duration_seconds") continue;
    const admin::Metric& metric = family.metrics(0);
    EXPECT_EQ(metric.count(), 3U);
    EXPECT_NEAR(metric.sum(), 430e-6, 1e-9);
    EXPECT_EQ(metric.buckets(0).cumulative_count(), 0U);   // 50 us
    EXPECT_EQ(metric.buckets(1).cumulative_count(), 2U);   // 100 us
    EXPECT_EQ(metric.buckets(2).cumulative_count(), 2U);   // 250 us
    EXPECT_EQ(metric.buckets(11).cumulative_count(), 3U);  // 5 s
    return;
  }
  FAIL() << "there is no such family";
}

}  // namespace
}  // namespace dp::server
