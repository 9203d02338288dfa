// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "plugin/status/doorbell_node.h"
#include "plugin/status/node_state.h"
#include "plugin/status/token_bucket.h"

namespace dp::status {

inline constexpr char kReporter[] = "vfio-doorbell.io/monitor";

// An Event of events.k8s.io/v1 that stands for all occurrences that say the same of the same
// object.
struct Series {
  bool of_pod = false;  // else of the Node
  std::string space;    // namespace of the Event, and of the pod
  std::string object;   // name of pod or Node
  bool warning = false;
  std::string reason;  // CamelCase
  std::string note;
  std::string name;  // of the Event: the same whoever makes it, so that nothing is told twice
  Time first;
  Time last;
  int count = 0;
  int written = 0;       // the count that the API server has
  bool created = false;  // the API server has the Event
  int refusals = 0;
};

// The collection that it is created in, and the Event itself. `uid` is that of pod or Node; without
// it (empty) the Event is not among those that `kubectl describe pod` shows.
std::string EventsPath(const Series& series);
nlohmann::json EventObject(const Series& series, const std::string& node, const std::string& uid);
// JSON Patch for an Event that is there. The API server lets an Event change in nothing else.
nlohmann::json SeriesPatch(const Series& series);

// What of the daemon's occurrences is still to be written as Events. Pure: it keeps no time and
// calls nobody. Aggregates and limits as the recorder of client-go does
// (tools/record/events_cache.go): what says the same is one Event with a count; from the tenth on
// that differs in its note only, within ten minutes, they are one "(combined from similar events)";
// an object gets 25 writes at once and then one each five minutes. Unlike there, what is too much
// waits: its count still grows, and it is dropped after an hour only, when the API server would
// have forgotten it as well.
class EventQueue {
 public:
  struct Now {
    std::chrono::steady_clock::time_point steady;
    Time wall;
  };
  static constexpr double kBurst = 25;
  static constexpr std::chrono::seconds kRefill{300};
  static constexpr std::size_t kMostSimilar = 10;
  static constexpr std::chrono::seconds kSimilarFor{600};
  static constexpr std::chrono::seconds kKeptFor{3600};
  static constexpr std::size_t kMostSeries = 512;
  static constexpr int kMostRefusals = 10;

  explicit EventQueue(std::string node) : node_(std::move(node)) {}

  // What another monitor has told is not told again. Before the first Take().
  void Resume(const Told& told) { taken_ = told_ = told; }
  // One that was taken already, or is older than an hour, is passed over. Another start is another
  // daemon, whose numbers begin anew.
  void Take(const Occurrence& occurrence, const Now& now);

  // Which of them may be written now, the oldest first, as far as their objects' tokens go.
  [[nodiscard]] std::vector<std::uint64_t> Due(const Now& now) const;
  [[nodiscard]] const Series& at(std::uint64_t id) const { return series_.at(id); }
  // Written, as it is now.
  void Sent(std::uint64_t id, const Now& now);
  // The API server had it, from this monitor or the one before: to be patched, if it has more to
  // say.
  void WasThere(std::uint64_t id);
  // The API server has forgotten it: to be created again.
  void Vanished(std::uint64_t id);
  // It does not want it. False: it was given up, because of `for_good` or since it was refused
  // often.
  bool Refused(std::uint64_t id, bool for_good);

  // Forgets what is old. After it: what was told by and by, and when to look at Due() again (empty:
  // nothing waits).
  void Tidy(const Now& now);
  [[nodiscard]] const Told& told() const { return told_; }
  [[nodiscard]] std::optional<std::chrono::milliseconds> Wait(const Now& now) const;
  // Given up, or never written because there was too much.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  struct Similar {
    std::set<std::string> notes;
    Time last;
  };

  void Drop(std::uint64_t id);

  const std::string node_;
  std::map<std::uint64_t, Series> series_;  // in the order in which they came
  std::map<std::string, std::uint64_t> by_key_;
  std::map<std::string, Similar> similar_;
  std::map<std::string, TokenBucket> buckets_;  // of objects that have not all their tokens
  std::uint64_t next_ = 0;
  Told taken_;
  Told told_;
  std::uint64_t dropped_ = 0;
};

}  // namespace dp::status
