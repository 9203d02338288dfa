// SPDX-License-Identifier: Apache-2.0
#include "plugin/metrics/controller_metrics.h"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <exception>
#include <map>
#include <utility>

namespace dp::metrics {
namespace {

// Prometheus asks every few seconds, and nobody else does.
constexpr std::size_t kThreads = 1;

class Exposed final : public ControllerMetrics {
 public:
  // Throws where it cannot listen.
  Exposed(const std::string& address, const std::vector<std::string_view>& states)
      : exposer_(address, kThreads),
        registry_(std::make_shared<prometheus::Registry>()),
        passes_(MakeCounter("passes_total", "Looks at the cluster.")),
        patches_(MakeCounter("patches_total", "Patches that the API server took.")),
        conflicts_(MakeCounter("conflicts_total", "Patches that came too late.")),
        failures_(MakeCounter("failures_total", "Looks that did not end in step.")),
        permits_(MakeGauge("permits", "Entries that the configuration wants.")),
        waiting_(MakeGauge("waiting_resources", "Resources that no node offers yet.")) {
    auto& family = prometheus::BuildGauge()
                       .Name("vfio_doorbell_controller_state")
                       .Help("1 for how things stand, 0 for how they do not.")
                       .Register(*registry_);
    for (const std::string_view state : states) {
      states_.emplace(state, &family.Add({{"state", std::string(state)}}));
    }
    exposer_.RegisterCollectable(registry_);
  }

  void Set(const Values& values) override {
    for (const auto& [state, gauge] : states_) gauge->Set(state == values.state ? 1 : 0);
    Raise(passes_, values.passes);
    Raise(patches_, values.patches);
    Raise(conflicts_, values.conflicts);
    Raise(failures_, values.failures);
    permits_.Set(static_cast<double>(values.permits));
    waiting_.Set(static_cast<double>(values.waiting));
  }

 private:
  static std::string NameOf(const char* name) {
    return fmt::format("vfio_doorbell_controller_{}", name);
  }
  prometheus::Counter& MakeCounter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(NameOf(name)).Help(help).Register(*registry_).Add({});
  }
  prometheus::Gauge& MakeGauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(NameOf(name)).Help(help).Register(*registry_).Add({});
  }
  static void Raise(prometheus::Counter& counter, std::uint64_t sum) {
    counter.Increment(static_cast<double>(sum) - counter.Value());
  }

  prometheus::Exposer exposer_;
  std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Counter& passes_;
  prometheus::Counter& patches_;
  prometheus::Counter& conflicts_;
  prometheus::Counter& failures_;
  prometheus::Gauge& permits_;
  prometheus::Gauge& waiting_;
  std::map<std::string, prometheus::Gauge*, std::less<>> states_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ControllerMetrics>> ControllerMetrics::Create(
    const std::string& address, const std::vector<std::string_view>& states) {
  try {
    return std::make_unique<Exposed>(address, states);
  } catch (const std::exception& error) {
    return absl::FailedPreconditionError(
        fmt::format("cannot show metrics at {}: {}", address, error.what()));
  }
}

}  // namespace dp::metrics
