// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/kube/api.h"
#include "plugin/status/condition.h"
#include "plugin/status/doorbell_node.h"
#include "plugin/status/events.h"
#include "plugin/status/node_state.h"

namespace dp::status {

// What Kubernetes is told, each by itself and each optional.
enum class Part { kFeatures, kCondition, kEvents, kObject };
inline constexpr Part kParts[] = {Part::kFeatures, Part::kCondition, Part::kEvents, Part::kObject};
// "features", "condition", "events", "object": for logs and metrics.
std::string_view NameOf(Part part);

struct Options {
  std::string node;  // its name, as the API server has it: IsName()
  bool condition = true;
  bool events = true;
  bool object = true;
  std::string feature_file;  // path; empty: none
  // Ask for the uid of a pod that has an Event, for which the account needs `get pods`.
  bool pod_uids = false;
  // The condition and the object are looked after that often, and the condition's heartbeat
  // written.
  std::chrono::milliseconds heartbeat = std::chrono::minutes(10);
};
// Whether the part is switched on.
bool IsOn(const Options& options, Part part);

// What there is to tell.
struct Wanted {
  // Null: the daemon has not answered yet.
  std::shared_ptr<const NodeState> state;
  // Why the daemon does not answer; empty: it does.
  std::string silent;
  // Since the last pass, the oldest first.
  std::vector<Occurrence> occurrences;
};

// How a part stands after a pass.
struct Report {
  Part part = Part::kFeatures;
  // Why it is not in step: the name of a kube::Failure, or "not_written", of the feature file.
  // Empty: it is.
  std::string_view reason;
  std::string text;  // one sentence; empty in step
  // Not again before this: what the API server asks for, or what a large object is worth.
  std::chrono::milliseconds pause{0};
  // In step: again after this, with nothing new. Zero: after the heartbeat.
  std::chrono::milliseconds again{0};
};

// Of all passes so far.
struct Counters {
  std::uint64_t calls = 0;           // of the API
  std::uint64_t failures = 0;        // of them that failed
  std::uint64_t events = 0;          // written, those whose count grew included
  std::uint64_t events_dropped = 0;  // that nobody was told of
};

struct Outcome {
  std::vector<Report> reports;  // of the parts that were due
  Counters counters;
};

// Brings Kubernetes in step once, and remembers what it has written. Never fails otherwise than by
// its outcome: what one part meets does not hold up the others, except that an API server that does
// not answer is asked once in a pass. Not thread-safe; it waits for the API server.
class Pass {
 public:
  struct Clocks {
    std::function<std::chrono::steady_clock::time_point()> steady;
    std::function<Time()> wall;
  };

  // `api` outlives it.
  Pass(kube::Api& api, Options options, Clocks clocks)
      : api_(api),
        options_(std::move(options)),
        clocks_(std::move(clocks)),
        events_(options_.node) {}

  Outcome Run(const Wanted& wanted, const std::vector<Part>& due);

 private:
  absl::StatusOr<nlohmann::json> Call(absl::StatusOr<nlohmann::json> answer);
  absl::Status RunFeatures(const Wanted& wanted);
  absl::Status RunCondition(const Wanted& wanted);
  absl::Status RunEvents(Report& report);
  absl::Status SendEvent(std::uint64_t id);
  absl::Status WriteEvent(std::uint64_t id);
  absl::Status RunObject(const Wanted& wanted, Report& report);
  absl::Status LookAtNode();
  absl::Status LookAtObject();
  absl::Status CreateObject();
  void TakeOccurrences(const std::vector<Occurrence>& occurrences);
  std::string UidOf(const Series& series);
  [[nodiscard]] EventQueue::Now Now() const;
  [[nodiscard]] Condition WantedCondition(const Wanted& wanted) const;
  [[nodiscard]] bool IsOld(std::optional<std::chrono::steady_clock::time_point> time) const;

  kube::Api& api_;
  const Options options_;
  const Clocks clocks_;
  EventQueue events_;
  Counters counters_;
  std::string written_features_;
  std::string node_uid_;       // empty: not known yet
  bool is_uid_fresh_ = false;  // of this pass
  WrittenCondition condition_;
  std::optional<std::chrono::steady_clock::time_point> condition_time_;  // last seen there
  std::deque<Occurrence> waiting_;
  bool resumed_ = false;  // it is known what a former monitor has told, or it cannot be known
  bool has_object_ = false;
  std::string written_status_;                                           // of the object, as JSON
  std::optional<std::chrono::steady_clock::time_point> object_time_;     // last seen there
  std::optional<std::chrono::steady_clock::time_point> pods_forbidden_;  // last told so
};

}  // namespace dp::status
