// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "plugin/kube/api.h"

namespace dp::controller {

// Elects, among the instances of the controller, the one that may write: the holder of a
// coordination.k8s.io/v1 Lease. It is taken when there is something to write, is good for
// `duration`, and is not renewed while there is nothing, so that an idle cluster sees no write at
// all (docs/adr/2026-11-26-a-lease-to-write.md). Not thread-safe.
class Lease {
 public:
  struct Names {
    std::string space;     // namespace of the Lease object
    std::string name;      // of the Lease object
    std::string identity;  // of this instance; one that comes back under it goes on
  };
  struct Clocks {
    std::function<std::chrono::steady_clock::time_point()> steady;
    std::function<std::chrono::system_clock::time_point()> wall;  // shown to others, never compared
  };
  // What another instance has for how long still, at most.
  struct Other {
    std::string holder;
    std::chrono::milliseconds wait{0};
  };

  // `api` outlives the lease.
  Lease(kube::Api& api, Names names, std::chrono::seconds duration, Clocks clocks)
      : api_(api), names_(std::move(names)), duration_(duration), clocks_(std::move(clocks)) {}

  // Empty: this instance holds it, for a third of its duration at least. Else who does. A lease of
  // another instance is over when it has been seen unchanged for its whole duration, by the clock
  // of this one. Errors as kube::Api.
  absl::StatusOr<std::optional<Other>> Acquire();
  // Gives it back, so that another instance need not wait. Ok if there is none to give.
  absl::Status Release();

 private:
  std::string Path() const;
  std::string Collection() const;
  nlohmann::json Spec(std::int64_t transitions) const;
  absl::StatusOr<std::optional<Other>> Take(const absl::StatusOr<nlohmann::json>& written);

  kube::Api& api_;
  const Names names_;
  const std::chrono::seconds duration_;
  const Clocks clocks_;
  std::optional<std::chrono::steady_clock::time_point> taken_;  // held since
  nlohmann::json object_;                                       // as last written
  std::string seen_version_;                                    // of another's
  std::chrono::steady_clock::time_point seen_;
};

}  // namespace dp::controller
