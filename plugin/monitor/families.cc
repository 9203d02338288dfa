// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor/families.h"

#include <prometheus/check_names.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace dp::monitor {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
namespace v1 = admin_client::v1;

constexpr std::string_view kOwn = "vfio_doorbell_monitor_";

std::optional<MetricType> TypeOf(v1::MetricType type) {
  switch (type) {
    case v1::METRIC_COUNTER:
      return MetricType::Counter;
    case v1::METRIC_GAUGE:
      return MetricType::Gauge;
    case v1::METRIC_HISTOGRAM:
      return MetricType::Histogram;
    default:
      return std::nullopt;
  }
}

// The library writes it as it is, and a line of a help text is one line.
std::string OnOneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r' || c == '\\'; }, ' ');
  return text;
}

std::optional<ClientMetric> MetricOf(const v1::Metric& from, MetricType type) {
  ClientMetric metric;
  for (const v1::Label& label : from.labels()) {
    // Of a histogram, "le" is the library's.
    if (!prometheus::CheckLabelName(label.name()) || label.name() == "le") return std::nullopt;
    metric.label.push_back({label.name(), label.value()});
  }
  metric.counter.value = from.value();
  metric.gauge.value = from.value();
  if (type == MetricType::Histogram) {
    metric.histogram.sample_count = from.count();
    metric.histogram.sample_sum = from.sum();
    for (const v1::Bucket& bucket : from.buckets()) {
      metric.histogram.bucket.push_back({bucket.cumulative_count(), bucket.upper_bound()});
    }
  }
  return metric;
}

MetricFamily Make(std::string_view name, const char* help, MetricType type) {
  return {std::string(kOwn) + std::string(name), help, type, {}};
}

void Add(MetricFamily& family, double value, std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = value;
  metric.gauge.value = value;
  family.metric.push_back(std::move(metric));
}

MetricFamily One(std::string_view name, const char* help, MetricType type, double value) {
  MetricFamily family = Make(name, help, type);
  Add(family, value);
  return family;
}

}  // namespace

std::vector<MetricFamily> DaemonFamilies(const v1::GetMetricsResponse& response) {
  std::vector<MetricFamily> families;
  std::set<std::string_view> names;
  for (const v1::MetricFamily& from : response.families()) {
    const std::optional<MetricType> type = TypeOf(from.type());
    if (!type || !prometheus::CheckMetricName(from.name()) || from.name().starts_with(kOwn) ||
        !names.insert(from.name()).second) {
      continue;
    }
    MetricFamily family{from.name(), OnOneLine(from.help()), *type, {}};
    family.metric.reserve(static_cast<std::size_t>(from.metrics_size()));
    for (const v1::Metric& one : from.metrics()) {
      if (auto metric = MetricOf(one, *type)) family.metric.push_back(*std::move(metric));
    }
    families.push_back(std::move(family));
  }
  return families;
}

std::vector<MetricFamily> OwnFamilies(const Scrape& scrape) {
  std::vector<MetricFamily> families;
  MetricFamily build = Make("build_info", "1, for the version of this monitor.", MetricType::Gauge);
  Add(build, 1, {{"version", VFIO_DOORBELL_VERSION}});
  families.push_back(std::move(build));
  families.push_back(One("daemon_up",
                         "1 if the daemon has said its metrics for this scrape, else 0.",
                         MetricType::Gauge, scrape.daemon.ok() ? 1 : 0));
  families.push_back(One("daemon_answer_seconds", "How long the daemon took to say them.",
                         MetricType::Gauge, scrape.daemon_took.count()));
  families.push_back(One("watch_connected", "1 while the daemon tells each change, else 0.",
                         MetricType::Gauge, scrape.watch.connected ? 1 : 0));
  families.push_back(One("watch_connects_total", "How often the daemon began to tell each change.",
                         MetricType::Counter, static_cast<double>(scrape.watch.connects)));
  families.push_back(One("watch_losses_total", "How often it stopped to.", MetricType::Counter,
                         static_cast<double>(scrape.watch.losses)));
  if (!scrape.facts.empty()) {
    MetricFamily facts =
        Make("fact", "1 for what is so on this node and should be, 0 for what is not.",
             MetricType::Gauge);
    for (const Finding& fact : scrape.facts) {
      Add(facts, fact.trouble.empty() ? 1 : 0, {{"fact", fact.check}});
    }
    families.push_back(std::move(facts));
  }
  if (!scrape.api_calls.empty()) {
    MetricFamily calls =
        Make("api_calls_total", "Calls of the API server by result.", MetricType::Counter);
    for (const auto& [result, count] : scrape.api_calls) {
      Add(calls, static_cast<double>(count), {{"result", result}});
    }
    families.push_back(std::move(calls));
  }
  return families;
}

std::string Exposition(const Scrape& scrape) {
  std::vector<MetricFamily> families = OwnFamilies(scrape);
  if (scrape.daemon.ok()) {
    std::vector<MetricFamily> daemon = DaemonFamilies(*scrape.daemon);
    std::move(daemon.begin(), daemon.end(), std::back_inserter(families));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace dp::monitor
