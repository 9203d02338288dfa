// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <prometheus/metric_family.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/admin/v1/api.pb.h"
#include "plugin/admin_client/state_watch.h"
#include "plugin/monitor/findings.h"

// What Prometheus gets to see. Pure functions.
namespace dp::monitor {

// All of a scrape.
struct Scrape {
  absl::StatusOr<admin_client::v1::GetMetricsResponse> daemon =
      absl::UnavailableError("it was not asked");
  std::chrono::duration<double> daemon_took{0};
  admin_client::StateWatch::Counters watch;
  std::vector<Finding> facts;
  // Calls of the API server by result, so far. Empty while nothing is reported to it.
  std::map<std::string, std::uint64_t> api_calls;
};

// The daemon's own, as it says them. What Prometheus could not read, and would refuse the whole
// scrape for, is left out: names that are none, types that are not known, a family that comes
// twice, and one that only the monitor may have.
std::vector<prometheus::MetricFamily> DaemonFamilies(
    const admin_client::v1::GetMetricsResponse& response);

// vfio_doorbell_monitor_...
std::vector<prometheus::MetricFamily> OwnFamilies(const Scrape& scrape);

// Both, in the text format 0.0.4.
std::string Exposition(const Scrape& scrape);

}  // namespace dp::monitor
