// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/events.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "plugin/kube/time_text.h"
#include "plugin/status/words.h"

namespace dp::status {
namespace {

using Json = nlohmann::json;

// Limits of the API server: pkg/apis/core/validation/events.go.
constexpr std::size_t kLongestNote = 1024;
constexpr std::size_t kLongestInstance = 128;
// So that the name of the Event, which has the numbers after it, is one.
constexpr std::size_t kLongestObject = 200;
constexpr char kCombined[] = "(combined from similar events): ";
// Objects without a namespace have their Events here.
constexpr char kDefault[] = "default";

std::string ObjectKey(const Series& series) {
  return series.of_pod ? series.space + "/" + series.object : "";
}

std::string KindKey(const Series& series) {
  return fmt::format("{}\n{}\n{}", ObjectKey(series), series.warning, series.reason);
}

std::string FullKey(const Series& series) { return KindKey(series) + "\n" + series.note; }

std::string EventName(const std::string& object, const Occurrence& occurrence) {
  std::string base = object.substr(0, kLongestObject);
  while (!base.empty() && (base.back() == '.' || base.back() == '-')) base.pop_back();
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  return fmt::format(
      "{}.{:x}.{:x}", base,
      duration_cast<milliseconds>(occurrence.daemon_started.time_since_epoch()).count(),
      occurrence.sequence);
}

Json SeriesJson(const Series& series) {
  return {{"count", series.count}, {"lastObservedTime", kube::MicroTimeText(series.last)}};
}

}  // namespace

std::string EventsPath(const Series& series) {
  return fmt::format("/apis/events.k8s.io/v1/namespaces/{}/events", series.space);
}

Json EventObject(const Series& series, const std::string& node, const std::string& uid) {
  Json regarding{
      {"apiVersion", "v1"}, {"kind", series.of_pod ? "Pod" : "Node"}, {"name", series.object}};
  if (series.of_pod) regarding["namespace"] = series.space;
  if (!uid.empty()) regarding["uid"] = uid;
  Json event{{"apiVersion", "events.k8s.io/v1"},
             {"kind", "Event"},
             {"metadata", {{"name", series.name}, {"namespace", series.space}}},
             {"eventTime", kube::MicroTimeText(series.first)},
             {"type", series.warning ? "Warning" : "Normal"},
             {"reason", series.reason},
             {"action", series.reason},
             {"note", series.note},
             {"regarding", std::move(regarding)},
             {"reportingController", kReporter},
             {"reportingInstance", node.substr(0, kLongestInstance)}};
  if (series.count > 1) event["series"] = SeriesJson(series);
  return event;
}

Json SeriesPatch(const Series& series) {
  return Json::array({{{"op", "add"}, {"path", "/series"}, {"value", SeriesJson(series)}}});
}

void EventQueue::Take(const Occurrence& occurrence, const Now& now) {
  if (occurrence.daemon_started == taken_.daemon_started &&
      occurrence.sequence <= taken_.sequence) {
    return;
  }
  taken_ = {.daemon_started = occurrence.daemon_started, .sequence = occurrence.sequence};

  const Time time = occurrence.time == Time() ? now.wall : occurrence.time;
  // What happened long before this program started.
  if (now.wall - time > kKeptFor) return;

  Series series;
  series.of_pod = occurrence.pod && IsName(occurrence.pod->space) && IsName(occurrence.pod->name);
  series.space = series.of_pod ? occurrence.pod->space : kDefault;
  series.object = series.of_pod ? occurrence.pod->name : node_;
  series.warning = occurrence.warning;
  series.reason = CamelCase(occurrence.reason);
  series.note = Bounded(occurrence.message, kLongestNote);
  Similar& similar = similar_[KindKey(series)];
  if (now.wall - similar.last > kSimilarFor) similar.notes.clear();
  similar.last = now.wall;
  if (similar.notes.size() < kMostSimilar) similar.notes.insert(series.note);
  if (similar.notes.size() >= kMostSimilar) {
    // One Event for all of them, with the note of the first that is too much.
    series.note = Bounded(kCombined + series.note, kLongestNote);
  }
  const std::string key = similar.notes.size() >= kMostSimilar ? KindKey(series) : FullKey(series);
  auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    if (series_.size() == kMostSeries) Drop(series_.begin()->first);
    series.name = EventName(series.object, occurrence);
    series.first = time;
    found = by_key_.emplace(key, next_).first;
    series_.emplace(next_++, std::move(series));
  }
  Series& its = series_.at(found->second);
  its.last = std::max(its.last, time);
  ++its.count;
}

std::vector<std::uint64_t> EventQueue::Due(const Now& now) const {
  std::vector<std::uint64_t> due;
  std::map<std::string, double> used;
  for (const auto& [id, series] : series_) {
    if (series.written == series.count) continue;
    const std::string object = ObjectKey(series);
    const auto bucket = buckets_.find(object);
    const double level = bucket == buckets_.end() ? kBurst : bucket->second.Level(now.steady);
    double& its = used[object];
    if (level - its < 1) continue;
    ++its;
    due.push_back(id);
  }
  return due;
}

void EventQueue::Sent(std::uint64_t id, const Now& now) {
  Series& series = series_.at(id);
  series.written = series.count;
  series.created = true;
  series.refusals = 0;
  buckets_.try_emplace(ObjectKey(series), kBurst, kRefill, now.steady)
      .first->second.Take(now.steady);
}

void EventQueue::WasThere(std::uint64_t id) {
  Series& series = series_.at(id);
  series.created = true;
  // One that says it once says it already.
  series.written = 1;
}

void EventQueue::Vanished(std::uint64_t id) { series_.at(id).created = false; }

bool EventQueue::Refused(std::uint64_t id, bool for_good) {
  if (!for_good && ++series_.at(id).refusals < kMostRefusals) return true;
  Drop(id);
  return false;
}

void EventQueue::Drop(std::uint64_t id) {
  const auto series = series_.find(id);
  if (series->second.written != series->second.count) ++dropped_;
  std::erase_if(by_key_, [&](const auto& entry) { return entry.second == id; });
  series_.erase(series);
}

void EventQueue::Tidy(const Now& now) {
  bool all_told = true;
  std::vector<std::uint64_t> old;
  for (const auto& [id, series] : series_) {
    if (now.wall - series.last > kKeptFor) {
      old.push_back(id);
    } else if (series.written != series.count) {
      all_told = false;
    }
  }
  for (const std::uint64_t id : old) Drop(id);
  std::erase_if(similar_,
                [&](const auto& entry) { return now.wall - entry.second.last > kSimilarFor; });
  std::erase_if(buckets_, [&](const auto& entry) { return entry.second.IsFull(now.steady); });
  if (all_told) told_ = taken_;
}

std::optional<std::chrono::milliseconds> EventQueue::Wait(const Now& now) const {
  std::optional<std::chrono::milliseconds> least;
  for (const auto& [id, series] : series_) {
    if (series.written == series.count) continue;
    const auto bucket = buckets_.find(ObjectKey(series));
    const auto wait =
        bucket == buckets_.end() ? std::chrono::milliseconds(0) : bucket->second.Wait(now.steady);
    if (!least || wait < *least) least = wait;
  }
  return least;
}

}  // namespace dp::status
