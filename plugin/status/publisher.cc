// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/publisher.h"

#include <algorithm>
#include <string>
#include <utility>

#include "plugin/base/log.h"

namespace dp::status {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Occurrences that wait for a pass. The daemon keeps 64.
constexpr std::size_t kMostWaiting = 1024;

}  // namespace

Publisher::Publisher(os::EventLoop& loop, Pass& pass, const std::vector<Part>& parts, Pace pace,
                     Hooks hooks)
    : loop_(loop), pass_(pass), pace_(pace), hooks_(std::move(hooks)) {
  for (const Part part : parts) {
    lines_.push_back({.part = part,
                      .backoff = base::Backoff(pace.first_retry, pace.longest_retry),
                      .not_before = {},
                      .again = {}});
  }
}

Publisher::~Publisher() {
  if (worker_.joinable()) worker_.join();
}

void Publisher::Show(NodeState state) {
  if (state.daemon.started != daemon_started_) {
    daemon_started_ = state.daemon.started;
    last_sequence_ = 0;
  }
  for (Occurrence& occurrence : state.occurrences) {
    if (occurrence.sequence <= last_sequence_) continue;
    last_sequence_ = occurrence.sequence;
    wanted_.occurrences.push_back(std::move(occurrence));
  }
  if (wanted_.occurrences.size() > kMostWaiting) {
    wanted_.occurrences.erase(
        wanted_.occurrences.begin(),
        wanted_.occurrences.end() - static_cast<std::ptrdiff_t>(kMostWaiting));
  }
  state.occurrences.clear();
  wanted_.state = std::make_shared<const NodeState>(std::move(state));
  wanted_.silent.clear();
  if (silence_) loop_.Cancel(*silence_);
  silence_.reset();
  Changed();
}

void Publisher::Silence(const std::string& why) {
  if (stopped_ || silence_ || !wanted_.silent.empty()) return;
  silence_ = loop_.CallAfter(pace_.silence, [this, why] {
    silence_.reset();
    wanted_.silent = why;
    Changed();
  });
}

void Publisher::Changed() {
  for (Line& line : lines_) line.changed = true;
  Schedule();
}

Publisher::TimePoint Publisher::DueTime(const Line& line) {
  return line.changed ? line.not_before : std::max(line.not_before, line.again);
}

// Until there is something to tell there is no timer.
void Publisher::Schedule() {
  const bool is_ready = wanted_.state || !wanted_.silent.empty();
  if (stopped_ || running_ || lines_.empty() || !is_ready) return;
  if (timer_) loop_.Cancel(*timer_);
  TimePoint due = TimePoint::max();
  for (const Line& line : lines_) due = std::min(due, DueTime(line));
  due = std::max(due, begun_ + pace_.least);
  timer_ =
      loop_.CallAfter(std::max(due - steady_clock::now(), TimePoint::duration::zero()), [this] {
        timer_.reset();
        Begin();
      });
}

void Publisher::Begin() {
  begun_ = steady_clock::now();
  std::vector<Part> due;
  for (Line& line : lines_) {
    if (DueTime(line) > begun_) continue;
    due.push_back(line.part);
    // What comes from now on is another change.
    line.changed = false;
  }
  running_ = true;
  if (worker_.joinable()) worker_.join();
  deadline_ = loop_.CallAfter(pace_.deadline, hooks_.cancel);
  Wanted wanted = wanted_;
  wanted_.occurrences.clear();
  // It has the pass to itself until it has posted its end.
  worker_ = std::thread([this, wanted = std::move(wanted), due = std::move(due)] {
    Outcome outcome = pass_.Run(wanted, due);
    loop_.Post([this, outcome = std::move(outcome)] { Ended(outcome); });
  });
}

void Publisher::Ended(const Outcome& outcome) {
  running_ = false;
  loop_.Cancel(*deadline_);
  hooks_.reopen();
  if (stopped_) {
    stopped_();
    return;
  }
  Log(outcome);
  const TimePoint now = steady_clock::now();
  for (const Report& report : outcome.reports) Settle(report, now);
  hooks_.passed(outcome);
  Schedule();
}

void Publisher::Settle(const Report& report, TimePoint now) {
  const auto line = std::find_if(lines_.begin(), lines_.end(),
                                 [&](const Line& its) { return its.part == report.part; });
  line->last = report.reason;
  if (report.reason.empty()) {
    line->backoff.Reset();
    line->not_before = now + report.pause;
    line->again = now + (report.again.count() > 0 ? report.again : pace_.heartbeat);
    return;
  }
  line->changed = true;
  line->not_before = now + std::max(line->backoff.Next(), report.pause);
}

// A state of a part is said when it begins. Parts that meet the same in one pass are one line.
void Publisher::Log(const Outcome& outcome) {
  std::vector<const Report*> changed;
  for (const Report& report : outcome.reports) {
    for (const Line& line : lines_) {
      if (line.part == report.part && line.last != report.reason) changed.push_back(&report);
    }
  }
  for (std::size_t i = 0; i < changed.size(); ++i) {
    const Report& report = *changed[i];
    const auto is_same = [&](const Report* other) {
      return other->reason == report.reason && other->text == report.text;
    };
    const auto end = changed.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::any_of(changed.begin(), end, is_same)) continue;
    std::string parts;
    for (const Report* other : changed) {
      if (is_same(other)) parts += (parts.empty() ? "" : ",") + std::string(NameOf(other->part));
    }
    if (report.reason.empty()) {
      log::Info("Kubernetes in step again", {{"parts", parts}});
    } else {
      log::Warning("Kubernetes not in step",
                   {{"reason", report.reason}, {"parts", parts}, {"error", report.text}});
    }
  }
}

void Publisher::Stop(std::function<void()> stopped) {
  if (stopped_) return;
  stopped_ = std::move(stopped);
  if (silence_) loop_.Cancel(*silence_);
  if (timer_) loop_.Cancel(*timer_);
  if (running_) {
    hooks_.cancel();
  } else {
    stopped_();
  }
}

Publisher::Pace PaceOf(const std::string& node) {
  constexpr std::size_t kSteps = 1000;
  const auto step = static_cast<int>(std::hash<std::string>()(node) % kSteps);
  Publisher::Pace pace;
  pace.first_retry += milliseconds(step);
  pace.longest_retry += milliseconds(30 * step);
  pace.heartbeat += milliseconds(60 * step);
  return pace;
}

}  // namespace dp::status
