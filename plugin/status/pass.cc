// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/json/parse_json.h"
#include "plugin/kube/failure.h"
#include "plugin/kube/http_error.h"
#include "plugin/status/features.h"
#include "plugin/status/words.h"

// What the account may do is as little as can be: nothing but `doorbellnodes` may be read. A node
// is looked at by a patch of its status that changes nothing, which the API server answers with the
// node and does not write.

namespace dp::status {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;

// A large object is written more rarely: 64 KiB each second.
constexpr std::size_t kBytesOfASecond = std::size_t{64} << 10;
// One that wants to be left alone for longer is asked again nevertheless.
constexpr milliseconds kLongestPause = std::chrono::minutes(10);
// Of a pass.
constexpr int kMostForbidden = 3;
// As the client reads it.
constexpr json::Bounds kStatusBounds{.bytes = std::size_t{16} << 20, .depth = 100};
// Occurrences that wait until it is known what a former monitor has told.
constexpr std::size_t kMostWaiting = 1024;

std::string NodeStatusPath(const std::string& node) {
  return fmt::format("/api/v1/nodes/{}/status", node);
}

std::string ObjectPath(const std::string& node) {
  return fmt::format("{}/{}", kDoorbellNodes, node);
}

std::string_view ReasonOf(Part part, const absl::Status& status) {
  if (part == Part::kFeatures && !status.ok()) return "not_written";
  return kube::NameOf(kube::FailureOf(status));
}

std::string UidIn(const Json& object) {
  const Json::json_pointer path("/metadata/uid");
  return object.contains(path) && object[path].is_string() ? object[path].get<std::string>()
                                                           : std::string();
}

}  // namespace

std::string_view NameOf(Part part) {
  switch (part) {
    case Part::kFeatures:
      return "features";
    case Part::kCondition:
      return "condition";
    case Part::kEvents:
      return "events";
    case Part::kObject:
      return "object";
  }
  return "object";
}

bool IsOn(const Options& options, Part part) {
  switch (part) {
    case Part::kFeatures:
      return !options.feature_file.empty();
    case Part::kCondition:
      return options.condition;
    case Part::kEvents:
      return options.events;
    case Part::kObject:
      return options.object;
  }
  return false;
}

EventQueue::Now Pass::Now() const { return {.steady = clocks_.steady(), .wall = clocks_.wall()}; }

bool Pass::IsOld(std::optional<std::chrono::steady_clock::time_point> time) const {
  return !time || clocks_.steady() - *time >= options_.heartbeat;
}

absl::StatusOr<Json> Pass::Call(absl::StatusOr<Json> answer) {
  ++counters_.calls;
  if (!answer.ok()) ++counters_.failures;
  return answer;
}

Condition Pass::WantedCondition(const Wanted& wanted) const {
  if (!wanted.silent.empty()) return ConditionWithoutDaemon(wanted.silent);
  return ConditionOf(*wanted.state);
}

absl::Status Pass::RunFeatures(const Wanted& wanted) {
  // They are facts of the host, which a silent daemon does not change.
  if (!wanted.state) return absl::OkStatus();
  std::string features = FeatureFile(*wanted.state);
  if (features == written_features_) return absl::OkStatus();
  RETURN_IF_ERROR(WriteFeatureFile(options_.feature_file, features));
  written_features_ = std::move(features);
  return absl::OkStatus();
}

absl::Status Pass::LookAtNode() {
  ASSIGN_OR_RETURN(const Json node,
                   Call(api_.StrategicPatch(NodeStatusPath(options_.node), Json::object())));
  std::string uid = UidIn(node);
  if (uid.empty()) return absl::InvalidArgumentError("the API server's node has no uid");
  node_uid_ = std::move(uid);
  is_uid_fresh_ = true;
  condition_ = FindCondition(node);
  return absl::OkStatus();
}

absl::Status Pass::RunCondition(const Wanted& wanted) {
  const Condition condition = WantedCondition(wanted);
  if (!condition_time_) {
    RETURN_IF_ERROR(LookAtNode());
    if (condition == condition_.condition && !condition_.transition.empty()) {
      condition_time_ = clocks_.steady();
    }
  }
  if (condition == condition_.condition && !IsOld(condition_time_)) return absl::OkStatus();
  const Json patch = ConditionPatch(condition_, condition, clocks_.wall());
  auto node = Call(api_.StrategicPatch(NodeStatusPath(options_.node), patch));
  if (!node.ok()) {
    // Whether it was done is not known, and the node may be another one.
    condition_time_.reset();
    return node.status();
  }
  condition_ = FindCondition(*node);
  if (condition_.condition != condition) {
    condition_time_.reset();
    return absl::InvalidArgumentError("the API server answers with a node without the condition");
  }
  if (std::string uid = UidIn(*node); !uid.empty()) {
    node_uid_ = std::move(uid);
    is_uid_fresh_ = true;
  }
  condition_time_ = clocks_.steady();
  return absl::OkStatus();
}

std::string Pass::UidOf(const Series& series) {
  if (!series.of_pod) {
    // What the kubelet gives for it, if there is no other.
    return node_uid_.empty() ? options_.node : node_uid_;
  }
  if (!options_.pod_uids || !IsOld(pods_forbidden_)) return {};
  const auto pod =
      Call(api_.Get(fmt::format("/api/v1/namespaces/{}/pods/{}", series.space, series.object)));
  // Without the right the Event is still worth something, and asking for each is not.
  if (absl::IsPermissionDenied(pod.status())) pods_forbidden_ = clocks_.steady();
  return pod.ok() ? UidIn(*pod) : std::string();
}

absl::Status Pass::WriteEvent(std::uint64_t id) {
  const Series& series = events_.at(id);
  if (!series.created) {
    const Json event = EventObject(series, options_.node, UidOf(series));
    const auto created = Call(api_.Create(EventsPath(series), event));
    if (created.ok() && !created->contains("metadata")) {
      return absl::InvalidArgumentError(
          fmt::format("POST {}: the API server answers with no Event", EventsPath(series)));
    }
    if (!absl::IsAlreadyExists(created.status())) return created.status();
    events_.WasThere(id);
    if (series.count == series.written) return absl::OkStatus();
  }
  return Call(api_.Patch(EventsPath(series) + "/" + series.name, SeriesPatch(series))).status();
}

// OK: it is written, or given up.
absl::Status Pass::SendEvent(std::uint64_t id) {
  absl::Status written = WriteEvent(id);
  if (absl::IsNotFound(written) && events_.at(id).created) {
    // An Event is kept for an hour.
    events_.Vanished(id);
    written = WriteEvent(id);
  }
  if (written.ok()) {
    events_.Sent(id, Now());
    ++counters_.events;
    return written;
  }
  switch (kube::FailureOf(written)) {
    case kube::Failure::kUnreachable:
      return written;
    case kube::Failure::kRefused:
    case kube::Failure::kAbsent:
      // Its namespace has gone, or it will never be liked.
      events_.Refused(id, /*for_good=*/true);
      return written;
    default:
      events_.Refused(id, /*for_good=*/false);
      return written;
  }
}

absl::Status Pass::RunEvents(Report& report) {
  events_.Tidy(Now());
  const std::vector<std::uint64_t> due = events_.Due(Now());
  if (node_uid_.empty() && !due.empty()) {
    // Events of the Node should name it rightly, but go out without as well.
    absl::Status looked = LookAtNode();
    if (kube::FailureOf(looked) == kube::Failure::kUnreachable) return looked;
  }
  absl::Status first;
  int forbidden = 0;
  for (const std::uint64_t id : due) {
    const absl::Status sent = SendEvent(id);
    if (sent.ok()) continue;
    if (first.ok()) first = sent;
    const kube::Failure failure = kube::FailureOf(sent);
    // One that is refused says nothing of the next. So may be one that is forbidden, in a namespace
    // that ends; several are not.
    if (failure == kube::Failure::kForbidden && ++forbidden < kMostForbidden) continue;
    if (failure != kube::Failure::kRefused && failure != kube::Failure::kAbsent) break;
  }
  events_.Tidy(Now());
  counters_.events_dropped = events_.dropped();
  if (const auto wait = events_.Wait(Now())) {
    report.again = std::max(*wait, milliseconds(1000));
  }
  return first;
}

absl::Status Pass::LookAtObject() {
  const auto object = Call(api_.Get(ObjectPath(options_.node)));
  has_object_ = object.ok();
  if (object.ok() || absl::IsNotFound(object.status())) object_time_ = clocks_.steady();
  if (object.ok()) {
    const auto status = object->find("status");
    written_status_ = status == object->end() ? std::string() : status->dump();
    if (!resumed_) events_.Resume(FindTold(*object));
  }
  // If it cannot be read now it is not waited for: the names of the Events see to it that most of
  // what was told is not told twice.
  if (kube::FailureOf(object.status()) != kube::Failure::kUnreachable) resumed_ = true;
  return absl::IsNotFound(object.status()) ? absl::OkStatus() : object.status();
}

absl::Status Pass::CreateObject() {
  // Of the node that there is now: an object of a former one is collected as soon as it is made.
  if (!is_uid_fresh_) RETURN_IF_ERROR(LookAtNode());
  absl::Status created =
      Call(api_.Create(kDoorbellNodes, DoorbellNode(options_.node, node_uid_))).status();
  if (!created.ok() && !absl::IsAlreadyExists(created)) return created;
  has_object_ = true;
  written_status_.clear();
  return absl::OkStatus();
}

absl::Status Pass::RunObject(const Wanted& wanted, Report& report) {
  if (IsOld(object_time_)) RETURN_IF_ERROR(LookAtObject());
  Json status;
  if (wanted.state) {
    status = DoorbellNodeStatus(*wanted.state, WantedCondition(wanted), events_.told());
  } else {
    // A silent daemon that a former monitor has heard: its devices stay, marked.
    if (!has_object_ || written_status_.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(status, json::Parse(written_status_, kStatusBounds));
    MarkStatus(WantedCondition(wanted), status);
  }
  std::string text = status.dump();
  if (has_object_ && text == written_status_) return absl::OkStatus();
  const Json patch = Json::array({{{"op", "add"}, {"path", "/status"}, {"value", status}}});
  const std::string path = ObjectPath(options_.node) + "/status";
  if (!has_object_) RETURN_IF_ERROR(CreateObject());
  auto patched = Call(api_.Patch(path, patch));
  if (absl::IsNotFound(patched.status())) {
    // Somebody has deleted it.
    RETURN_IF_ERROR(CreateObject());
    patched = Call(api_.Patch(path, patch));
  }
  if (!patched.ok()) {
    written_status_.clear();
    object_time_.reset();
    return patched.status();
  }
  const auto its = patched->find("status");
  // Not all of it: a CRD of another version may leave out what it does not know.
  if (its == patched->end() || !its->contains("ready") || (*its)["ready"] != status["ready"]) {
    written_status_.clear();
    object_time_.reset();
    return absl::InvalidArgumentError(
        fmt::format("PATCH {}: the API server answers with another status", path));
  }
  object_time_ = clocks_.steady();
  report.pause = milliseconds(1000 * text.size() / kBytesOfASecond);
  written_status_ = std::move(text);
  return absl::OkStatus();
}

void Pass::TakeOccurrences(const std::vector<Occurrence>& occurrences) {
  waiting_.insert(waiting_.end(), occurrences.begin(), occurrences.end());
  while (waiting_.size() > kMostWaiting) waiting_.pop_front();
  if (options_.object && !resumed_) return;
  for (const Occurrence& occurrence : waiting_) events_.Take(occurrence, Now());
  waiting_.clear();
}

Outcome Pass::Run(const Wanted& wanted, const std::vector<Part>& due) {
  Outcome outcome;
  is_uid_fresh_ = false;
  absl::Status unreachable;
  if (options_.object && !resumed_) {
    const absl::Status looked = LookAtObject();
    if (kube::FailureOf(looked) == kube::Failure::kUnreachable) unreachable = looked;
  }
  // They are taken in any case: there may be other ones before the next pass.
  if (options_.events) TakeOccurrences(wanted.occurrences);
  for (const Part part : due) {
    Report report{.part = part, .text = {}};
    absl::Status status = unreachable;
    if (part == Part::kFeatures) {
      status = RunFeatures(wanted);
    } else if (!wanted.state && wanted.silent.empty()) {
      status = absl::OkStatus();
    } else if (status.ok()) {
      if (part == Part::kCondition) status = RunCondition(wanted);
      if (part == Part::kEvents) status = RunEvents(report);
      if (part == Part::kObject) status = RunObject(wanted, report);
      if (kube::FailureOf(status) == kube::Failure::kUnreachable) unreachable = status;
    }
    report.reason = ReasonOf(part, status);
    report.text = std::string(status.message());
    report.pause = std::max<milliseconds>(
        report.pause, std::min<milliseconds>(kube::RetryAfter(status), kLongestPause));
    outcome.reports.push_back(std::move(report));
  }
  outcome.counters = counters_;
  return outcome;
}

}  // namespace dp::status
