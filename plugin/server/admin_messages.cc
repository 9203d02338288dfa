// SPDX-License-Identifier: Apache-2.0
#include "plugin/server/admin_messages.h"

#include <fmt/format.h>

#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "plugin/base/log.h"

namespace dp::server {
namespace {

std::string WordOr(const std::optional<base::Reason>& reason) {
  return reason ? std::string(base::WordOf(*reason)) : std::string();
}

void FillWindow(const core::Window& window, admin::Window& message) {
  message.set_base(window.base);
  message.set_size(window.size);
}

void FillPod(const core::PodName& pod, admin::Pod& message) {
  message.set_namespace_(pod.space);
  message.set_name(pod.name);
}

admin::DeviceState ToMessage(core::DeviceState state) {
  switch (state) {
    case core::DeviceState::kFree:
      return admin::DEVICE_FREE;
    case core::DeviceState::kAllocated:
      return admin::DEVICE_ALLOCATED;
    case core::DeviceState::kStarted:
      return admin::DEVICE_STARTED;
    case core::DeviceState::kUnhealthy:
      return admin::DEVICE_UNHEALTHY;
  }
  return admin::DEVICE_STATE_UNKNOWN;
}

void FillDevice(const core::DeviceStatus& device, admin::Device& message) {
  message.set_id(device.id);
  message.set_resource(device.resource);
  message.set_group(device.group);
  message.set_function(device.function);
  message.set_driver(device.driver);
  if (device.numa_node) message.set_numa_node(*device.numa_node);
  message.set_healthy(device.unhealthy.empty());
  message.set_reason(WordOr(device.reason));
  message.set_unhealthy(device.unhealthy);
  message.set_observe(device.observe);
  message.set_state(ToMessage(device.state));
  message.set_since_ms(device.since_ms);
  if (device.window) FillWindow(*device.window, *message.mutable_window());
  if (device.pod) FillPod(*device.pod, *message.mutable_pod());
  if (device.last_failure) {
    admin::Failure& failure = *message.mutable_last_failure();
    failure.set_reason(std::string(base::WordOf(device.last_failure->reason)));
    failure.set_message(device.last_failure->message);
    failure.set_time_ms(device.last_failure->time_ms);
  }
}

void FillOccurrence(const core::Occurrence& occurrence, admin::Occurrence& message) {
  message.set_sequence(occurrence.sequence);
  message.set_time_ms(occurrence.time_ms);
  message.set_warning(occurrence.warning);
  message.set_reason(std::string(base::WordOf(occurrence.reason)));
  message.set_message(occurrence.message);
  message.set_device(occurrence.device);
  message.set_resource(occurrence.resource);
  if (occurrence.pod) FillPod(*occurrence.pod, *message.mutable_pod());
}

void FillDaemon(const core::NodeStatus& status, const DaemonFacts& facts, admin::Daemon& message) {
  message.set_version(facts.version);
  message.set_started_ms(facts.started_ms);
  message.set_mode(status.mode == core::Mode::kEnforce ? admin::MODE_ENFORCE : admin::MODE_OBSERVE);
  message.set_config_file(facts.config_file);
  message.set_config_generation(facts.config_generation);
  message.set_config_hash(facts.config_hash);
  message.set_config_error(facts.config_error);
  message.set_knob_error(status.knob_error);
  message.set_ledger_generation(status.ledger_generation);
  message.set_ledger_error(status.ledger_error);
  message.set_pods_error(status.pods_error);
  message.set_groups_with_knob(static_cast<std::uint32_t>(status.groups_with_knob));
  message.set_groups_without_knob(static_cast<std::uint32_t>(status.groups_without_knob));
  message.set_boot_id(facts.boot_id);
}

using Labels = std::vector<std::pair<const char*, std::string>>;

// Adds families with their metrics to the answer.
class Writer {
 public:
  explicit Writer(admin::GetMetricsResponse& metrics) : metrics_(metrics) {}

  void Family(const char* name, const char* help, admin::MetricType type) {
    family_ = metrics_.add_families();
    family_->set_name(fmt::format("vfio_doorbell_{}", name));
    family_->set_help(help);
    family_->set_type(type);
  }
  void Counter(const char* name, const char* help) { Family(name, help, admin::METRIC_COUNTER); }
  void Gauge(const char* name, const char* help) { Family(name, help, admin::METRIC_GAUGE); }
  void Gauge(const char* name, const char* help, double value) {
    Gauge(name, help);
    Add({}, value);
  }

  void Add(const Labels& labels, double value) { AddMetric(labels).set_value(value); }
  template <typename Count>
  void Add(const Labels& labels, Count value) {
    Add(labels, static_cast<double>(value));
  }

  void Results(const char* name, const char* help, const core::Statistics::Results& results) {
    Counter(name, help);
    for (const auto& [key, count] : results) {
      Add({{"resource", key.first}, {"result", key.second}}, count);
    }
  }

  void Durations(const char* name, const char* help, const core::Histogram& histogram) {
    Family(name, help, admin::METRIC_HISTOGRAM);
    admin::Metric& metric = AddMetric({});
    metric.set_count(histogram.count());
    metric.set_sum(histogram.sum());
    std::uint64_t cumulative = 0;
    for (std::size_t i = 0; i < core::Histogram::kBounds.size(); ++i) {
      cumulative += histogram.count_of(i);
      admin::Bucket& bucket = *metric.add_buckets();
      bucket.set_upper_bound(core::Histogram::kBounds[i]);
      bucket.set_cumulative_count(cumulative);
    }
  }

 private:
  admin::Metric& AddMetric(const Labels& labels) {
    admin::Metric& metric = *family_->add_metrics();
    for (const auto& [name, value] : labels) {
      admin::Label& label = *metric.add_labels();
      label.set_name(name);
      label.set_value(value);
    }
    return metric;
  }

  admin::GetMetricsResponse& metrics_;
  admin::MetricFamily* family_ = nullptr;
};

void AddDevices(const core::NodeStatus& status, Writer& writer) {
  // Resource, health, reason.
  std::map<std::tuple<std::string, std::string, std::string>, std::size_t> devices;
  std::map<std::string, std::size_t> windows{{"allocated", 0}, {"started", 0}};
  for (const core::DeviceStatus& device : status.devices) {
    const char* health = device.unhealthy.empty() ? "healthy" : "unhealthy";
    ++devices[{device.resource, health, WordOr(device.reason)}];
    if (!device.window) continue;
    ++windows[device.state == core::DeviceState::kStarted ? "started" : "allocated"];
  }
  windows["left_over"] = status.leftovers.size();
  writer.Gauge("devices", "Devices that are offered, one for each IOMMU group.");
  for (const auto& [key, count] : devices) {
    const auto& [resource, health, reason] = key;
    writer.Add({{"resource", resource}, {"health", health}, {"reason", reason}}, count);
  }
  writer.Gauge("windows", "IOMMU groups that have a window of the pool.");
  for (const auto& [state, count] : windows) writer.Add({{"state", state}}, count);
  writer.Gauge("pool_windows", "Windows of the pool.", static_cast<double>(status.windows));
  writer.Gauge("pool_windows_free", "Windows of the pool that nobody has.",
               static_cast<double>(status.free_windows));
  writer.Gauge("groups", "IOMMU groups of the host, and whether their window can be moved.");
  writer.Add({{"knob", "present"}}, status.groups_with_knob);
  writer.Add({{"knob", "absent"}}, status.groups_without_knob);
}

void AddKubelet(const DaemonFacts& facts, std::int64_t now_ms, Writer& writer) {
  writer.Counter("kubelet_registrations_total", "Registrations that the kubelet has taken.");
  for (const ResourceFacts& resource : facts.resources) {
    writer.Add({{"resource", resource.name}}, resource.registrations);
  }
  writer.Gauge("kubelet_watched", "Whether the kubelet has the list of devices open.");
  for (const ResourceFacts& resource : facts.resources) {
    writer.Add({{"resource", resource.name}}, resource.watched ? 1 : 0);
  }
  writer.Gauge("kubelet_stream_age_seconds", "Since the kubelet has taken a list of devices last.");
  constexpr double kMillisecond = 1e-3;
  for (const ResourceFacts& resource : facts.resources) {
    if (!resource.watched || resource.list_sent_ms == 0) continue;
    writer.Add({{"resource", resource.name}},
               static_cast<double>(now_ms - resource.list_sent_ms) * kMillisecond);
  }
  writer.Counter("kubelet_restarts_total", "Starts of the kubelet that were seen.");
  writer.Add({}, facts.kubelet_restarts);
}

void AddCalls(const core::Statistics& statistics, Writer& writer) {
  writer.Results("allocations_total", "Allocate calls, by what has come of them.",
                 statistics.allocations);
  writer.Results("container_starts_total", "PreStartContainer calls, by what has come of them.",
                 statistics.starts);
  writer.Durations("allocate_duration_seconds", "From an Allocate call to its answer.",
                   statistics.allocate);
  writer.Durations("container_start_duration_seconds",
                   "From a PreStartContainer call to its answer.", statistics.start);
  writer.Durations("reconcile_duration_seconds",
                   "A comparison of ledger, kubelet and kernel, once the kubelet has answered.",
                   statistics.reconcile);
  writer.Counter("kernel_writes_total", "Writes to msi_window, by the error.");
  for (const auto& [error, count] : statistics.kernel_writes) writer.Add({{"errno", error}}, count);
  writer.Counter("problems_total", "Failures that were handled, by their reason.");
  for (std::size_t i = 0; i < base::kReasons; ++i) {
    const auto reason = static_cast<base::Reason>(i);
    if (const std::uint64_t count = log::CountOf(reason); count > 0)
      writer.Add({{"reason", std::string(base::WordOf(reason))}}, count);
  }
}

}  // namespace

void FillState(const core::StatusBoard& board, const DaemonFacts& facts, admin::NodeState& state) {
  const core::NodeStatus& status = board.status();
  state.set_revision(board.revision());
  FillDaemon(status, facts, *state.mutable_daemon());
  admin::Pool& pool = *state.mutable_pool();
  pool.set_start(status.pool.start);
  pool.set_end(status.pool.end);
  pool.set_window_size(status.pool.window_size);
  pool.set_windows(status.windows);
  pool.set_free(status.free_windows);
  for (const ResourceFacts& facts_of_one : facts.resources) {
    admin::Resource& resource = *state.add_resources();
    resource.set_name(facts_of_one.name);
    resource.set_watched(facts_of_one.watched);
    resource.set_failure(facts_of_one.failure);
    resource.set_registrations(facts_of_one.registrations);
    resource.set_watched_since_ms(facts_of_one.watched_since_ms);
    resource.set_observe(facts_of_one.observe);
    resource.set_cdi(facts_of_one.cdi);
    resource.set_iommufd(facts_of_one.iommufd);
  }
  for (const core::DeviceStatus& device : status.devices) FillDevice(device, *state.add_devices());
  for (const core::LeftoverStatus& leftover : status.leftovers) {
    admin::Leftover& message = *state.add_leftovers();
    message.set_device(leftover.device);
    message.set_group(leftover.group);
    FillWindow(leftover.window, *message.mutable_window());
  }
  for (const core::Occurrence& occurrence : board.occurrences()) {
    FillOccurrence(occurrence, *state.add_occurrences());
  }
}

void FillMetrics(const core::NodeStatus& status, const DaemonFacts& facts,
                 const core::Statistics& statistics, std::int64_t now_ms,
                 admin::GetMetricsResponse& metrics) {
  Writer writer(metrics);
  writer.Gauge("build_info", "1, of the version of the daemon.");
  writer.Add({{"version", facts.version}}, 1.0);
  AddDevices(status, writer);
  AddKubelet(facts, now_ms, writer);
  AddCalls(statistics, writer);
  writer.Gauge("config_generation", "Configurations that have been in force.",
               static_cast<double>(facts.config_generation));
  writer.Gauge("config_info", "1, of the configuration in force: the CRC-32 of its file.");
  writer.Add({{"hash", facts.config_hash}}, 1.0);
  writer.Gauge("config_refused", "1 while the file of the configuration is not in force.",
               facts.config_error.empty() ? 0 : 1);
  writer.Gauge("ledger_generation", "How often the ledger has been written.",
               static_cast<double>(status.ledger_generation));
}

}  // namespace dp::server
