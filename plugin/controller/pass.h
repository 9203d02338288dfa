// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/controller/lease.h"
#include "plugin/controller/permits.h"
#include "plugin/kube/api.h"

namespace dp::controller {

// Which KubeVirt CR. Both empty: the only one of the cluster.
struct Target {
  std::string space;
  std::string name;
};

// How things stand after a look at the cluster.
enum class State {
  kInStep,       // nothing is to be changed
  kNoKubeVirt,   // no CRD, no CR, or one that is being deleted
  kSeveral,      // more than one CR, and none was named
  kForbidden,    // the API server lets this account not do what it needs to
  kUnreachable,  // no API server, or one that fails
  kRefused,      // the patch was rejected for what it says (CRD, admission webhook)
  kConflict,     // the CR changes faster than it can be patched
  kFollowing,    // something is to be changed, and another instance has the lease
  kBroken,       // an answer that makes no sense
};
// "in_step", "no_kubevirt", ...: for logs and for who matches them.
std::string_view NameOf(State state);
// All of them.
std::vector<std::string_view> StateNames();

struct Outcome {
  State state = State::kInStep;
  std::string text;  // one sentence; empty in step
  std::vector<Remark> remarks;
  std::vector<std::string> waiting;    // resources that no node offers yet
  std::chrono::milliseconds retry{0};  // kFollowing: not before
  int patched = 0;                     // patches that were taken
};

// Of all passes so far.
struct Counters {
  std::uint64_t passes = 0;
  std::uint64_t patches = 0;
  std::uint64_t conflicts = 0;
  std::uint64_t failures = 0;  // passes that did not end in step
};

// Looks once at the cluster, and makes KubeVirt's CR what it should be. Never fails otherwise than
// by its outcome. Not thread-safe; it waits for the API server.
class Pass {
 public:
  // Both outlive it.
  Pass(kube::Api& api, Lease& lease, Target target)
      : api_(api), lease_(lease), target_(std::move(target)) {}

  // `permits` as for MakePlan(). A conflict is no failure: the CR is read again and planned anew, a
  // few times.
  Outcome Run(const std::vector<Permit>& permits);
  // The patch that Run() would send; empty: none. The outcome tells why there is none to show.
  nlohmann::json Preview(const std::vector<Permit>& permits, Outcome& outcome);

  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  struct Look;
  absl::StatusOr<nlohmann::json> FindCr(Outcome& outcome);
  bool LookAndPlan(const std::vector<Permit>& permits, Outcome& outcome, Look& look);

  kube::Api& api_;
  Lease& lease_;
  const Target target_;
  Counters counters_;
};

}  // namespace dp::controller
