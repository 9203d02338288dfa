// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace dp::metrics {

// What the controller shows to Prometheus, at /metrics (text format 0.0.4). docs/controller.md has
// the names. Set() may be called from any thread; the answers come from a thread of the library.
class ControllerMetrics {
 public:
  struct Values {
    std::string_view state;  // one of `states`
    std::uint64_t passes = 0;
    std::uint64_t patches = 0;
    std::uint64_t conflicts = 0;
    std::uint64_t failures = 0;
    std::size_t permits = 0;
    std::size_t waiting = 0;
  };

  // Listens on `address`, "0.0.0.0:9464" or "[::]:9464". `states` are all there can be: each is a
  // time series, of which one is 1. FailedPrecondition: it cannot listen there.
  static absl::StatusOr<std::unique_ptr<ControllerMetrics>> Create(
      const std::string& address, const std::vector<std::string_view>& states);
  virtual ~ControllerMetrics() = default;

  // Counters are the sums so far, and never fall.
  virtual void Set(const Values& values) = 0;

 protected:
  ControllerMetrics() = default;
};

}  // namespace dp::metrics
