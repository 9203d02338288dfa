// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor/families.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dp::monitor {
namespace {

namespace v1 = admin_client::v1;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

v1::MetricFamily& AddFamily(v1::GetMetricsResponse& response, const std::string& name,
                            v1::MetricType type) {
  v1::MetricFamily& family = *response.add_families();
  family.set_name(name);
  family.set_help("Help of " + name + ".");
  family.set_type(type);
  return family;
}

void AddLabel(v1::Metric& metric, const std::string& name, const std::string& value) {
  v1::Label& label = *metric.add_labels();
  label.set_name(name);
  label.set_value(value);
}

TEST(FamiliesTest, PassesOnWhatTheDaemonSays) {
  v1::GetMetricsResponse response;
  v1::Metric& counter =
      *AddFamily(response, "vfio_doorbell_allocations_total", v1::METRIC_COUNTER).add_metrics();
  AddLabel(counter, "resource", "vendor.example/nvme");
  AddLabel(counter, "result", "a \"quoted\"\nline");
  counter.set_value(3);
  AddFamily(response, "vfio_doorbell_pool_windows", v1::METRIC_GAUGE).add_metrics()->set_value(256);
  v1::Metric& histogram =
      *AddFamily(response, "vfio_doorbell_allocate_duration_seconds", v1::METRIC_HISTOGRAM)
           .add_metrics();
  histogram.set_count(5);
  histogram.set_sum(0.25);
  for (const auto& [count, bound] : {std::pair{2, 0.001}, {4, 0.01}}) {
    v1::Bucket& bucket = *histogram.add_buckets();
    bucket.set_cumulative_count(static_cast<std::uint64_t>(count));
    bucket.set_upper_bound(bound);
  }
  Scrape scrape;
  scrape.daemon = response;
  const std::string text = Exposition(scrape);
  EXPECT_THAT(text, HasSubstr("# HELP vfio_doorbell_allocations_total Help of "
                              "vfio_doorbell_allocations_total.\n"
                              "# TYPE vfio_doorbell_allocations_total counter\n"
                              "vfio_doorbell_allocations_total{resource=\"vendor.example/nvme\","
                              "result=\"a \\\"quoted\\\"\\nline\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE vfio_doorbell_pool_windows gauge\n"
                              "vfio_doorbell_pool_windows 256\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE vfio_doorbell_allocate_duration_seconds histogram\n"
                              "vfio_doorbell_allocate_duration_seconds_count 5\n"
                              "vfio_doorbell_allocate_duration_seconds_sum 0.25\n"
                              "vfio_doorbell_allocate_duration_seconds_bucket{le=\"0.001\"} 2\n"
                              "vfio_doorbell_allocate_duration_seconds_bucket{le=\"0.01\"} 4\n"
                              "vfio_doorbell_allocate_duration_seconds_bucket{le=\"+Inf\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("vfio_doorbell_monitor_daemon_up 1\n"));
}

TEST(FamiliesTest, LeavesOutWhatWouldSpoilTheScrape) {
  v1::GetMetricsResponse response;
  AddFamily(response, "no name", v1::METRIC_GAUGE).add_metrics();
  AddFamily(response, "", v1::METRIC_GAUGE).add_metrics();
  AddFamily(response, "of_a_newer_type", static_cast<v1::MetricType>(9)).add_metrics();
  AddFamily(response, "vfio_doorbell_monitor_daemon_up", v1::METRIC_GAUGE).add_metrics();
  EXPECT_THAT(DaemonFamilies(response), IsEmpty());

  AddFamily(response, "twice", v1::METRIC_GAUGE).add_metrics();
  AddFamily(response, "twice", v1::METRIC_COUNTER).add_metrics();
  AddLabel(*AddFamily(response, "labels", v1::METRIC_GAUGE).add_metrics(), "no-label", "x");
  AddLabel(*response.mutable_families(6)->add_metrics(), "le", "1");
  AddLabel(*response.mutable_families(6)->add_metrics(), "good", "x");
  response.mutable_families(6)->set_help("two\nlines");
  const auto families = DaemonFamilies(response);
  ASSERT_THAT(families, SizeIs(2));
  EXPECT_EQ(families[0].name, "twice");
  EXPECT_EQ(families[0].type, prometheus::MetricType::Gauge);
  ASSERT_THAT(families[1].metric, SizeIs(1));
  EXPECT_EQ(families[1].metric[0].label[0].name, "good");
  EXPECT_EQ(families[1].help, "two lines");
}

TEST(FamiliesTest, ShowsItsOwnWithoutADaemonToo) {
  Scrape scrape;
  scrape.daemon_took = std::chrono::milliseconds(1500);
  scrape.watch = {.connected = false, .connects = 4, .losses = 4};
  const std::string text = Exposition(scrape);
  EXPECT_THAT(text, HasSubstr("vfio_doorbell_monitor_build_info{version=\""));
  EXPECT_THAT(text, HasSubstr("vfio_doorbell_monitor_daemon_up 0\n"));
  EXPECT_THAT(text, HasSubstr("vfio_doorbell_monitor_daemon_answer_seconds 1.5\n"));
  EXPECT_THAT(text, HasSubstr("vfio_doorbell_monitor_watch_connected 0\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE vfio_doorbell_monitor_watch_connects_total counter\n"
                              "vfio_doorbell_monitor_watch_connects_total 4\n"));
  EXPECT_THAT(text, HasSubstr("vfio_doorbell_monitor_watch_losses_total 4\n"));
  EXPECT_THAT(text, Not(HasSubstr("api_calls")));
  EXPECT_THAT(text, Not(HasSubstr("fact")));
  scrape.facts = {{"registered", "it is not"}, {"ledger", ""}};
  EXPECT_THAT(Exposition(scrape), HasSubstr("vfio_doorbell_monitor_fact{fact=\"registered\"} 0\n"
                                            "vfio_doorbell_monitor_fact{fact=\"ledger\"} 1\n"));
  scrape.api_calls = {{"ok", 7}, {"conflict", 1}};
  EXPECT_THAT(Exposition(scrape),
              HasSubstr("vfio_doorbell_monitor_api_calls_total{result=\"conflict\"} 1\n"
                        "vfio_doorbell_monitor_api_calls_total{result=\"ok\"} 7\n"));
}

}  // namespace
}  // namespace dp::monitor
