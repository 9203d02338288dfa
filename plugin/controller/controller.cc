// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/controller.h"

#include <algorithm>
#include <utility>

#include "plugin/base/log.h"

namespace dp::controller {
namespace {

// For the lease to be given back at the end. It is a courtesy: without it the next instance waits.
constexpr std::chrono::milliseconds kLeaveDeadline{2000};

}  // namespace

Controller::Controller(os::EventLoop& loop, Pass& pass, Lease& lease, Pace pace, Hooks hooks)
    : loop_(loop),
      pass_(pass),
      lease_(lease),
      pace_(pace),
      hooks_(std::move(hooks)),
      backoff_(pace.first_retry, pace.longest_retry) {}

Controller::~Controller() {
  if (worker_.joinable()) worker_.join();
}

void Controller::Want(std::vector<Permit> permits) {
  permits_ = std::move(permits);
  backoff_.Reset();
  Begin();
}

void Controller::Begin() {
  if (stopped_) return;
  if (running_) {
    again_ = true;
    return;
  }
  if (timer_) loop_.Cancel(*timer_);
  timer_.reset();
  again_ = false;
  running_ = true;
  if (worker_.joinable()) worker_.join();
  deadline_ = loop_.CallAfter(pace_.deadline, hooks_.cancel);
  // It has pass and lease to itself until it has posted its end.
  worker_ = std::thread([this, permits = permits_] {
    Outcome outcome = pass_.Run(permits);
    loop_.Post([this, outcome = std::move(outcome)] { Ended(outcome); });
  });
}

void Controller::Ended(const Outcome& outcome) {
  running_ = false;
  loop_.Cancel(*deadline_);
  hooks_.reopen();
  if (stopped_) {
    Leave();
    return;
  }
  Report(outcome);
  hooks_.passed(outcome);
  if (again_) {
    Begin();
    return;
  }
  if (outcome.state == State::kInStep) {
    backoff_.Reset();
    Schedule(pace_.interval);
  } else if (outcome.state == State::kFollowing) {
    // The other one is probably doing the same work.
    Schedule(std::clamp(outcome.retry, pace_.first_retry, pace_.longest_retry));
  } else {
    Schedule(backoff_.Next());
  }
}

void Controller::Schedule(std::chrono::milliseconds delay) {
  timer_ = loop_.CallAfter(delay, [this] {
    timer_.reset();
    Begin();
  });
}

void Controller::Report(const Outcome& outcome) {
  const Counters& counters = pass_.counters();
  if (outcome.patched > 0) {
    log::Info("KubeVirt patched",
              {{"patches", counters.patches}, {"conflicts", counters.conflicts}});
  }
  for (const Remark& remark : outcome.remarks) {
    if (std::find(last_remarks_.begin(), last_remarks_.end(), remark) != last_remarks_.end()) {
      continue;
    }
    log::Warning("KubeVirt's CR",
                 {{"reason", remark.reason}, {"resource", remark.resource}, {"text", remark.text}});
  }
  last_remarks_ = outcome.remarks;
  for (const std::string& resource : outcome.waiting) {
    if (std::find(last_waiting_.begin(), last_waiting_.end(), resource) == last_waiting_.end()) {
      log::Info("waiting for a node", {{"resource", resource}});
    }
  }
  last_waiting_ = outcome.waiting;
  std::string report = std::string(NameOf(outcome.state)) + " " + outcome.text;
  if (report == last_report_) return;
  last_report_ = std::move(report);
  if (outcome.state == State::kInStep) {
    log::Info("in step", {{"permits", permits_.size()}, {"waiting", outcome.waiting.size()}});
  } else if (outcome.state == State::kFollowing) {
    log::Info("following", {{"text", outcome.text}});
  } else {
    log::Warning("not in step", {{"reason", NameOf(outcome.state)},
                                 {"error", outcome.text},
                                 {"failures", counters.failures}});
  }
}

void Controller::Stop(std::function<void()> stopped) {
  if (stopped_) return;
  stopped_ = std::move(stopped);
  if (timer_) loop_.Cancel(*timer_);
  if (running_) {
    hooks_.cancel();
  } else {
    Leave();
  }
}

void Controller::Leave() {
  if (worker_.joinable()) worker_.join();
  deadline_ = loop_.CallAfter(kLeaveDeadline, hooks_.cancel);
  worker_ = std::thread([this] {
    const absl::Status released = lease_.Release();
    if (!released.ok()) {
      log::Info("lease not given back", {{"reason", "lease"}, {"error", released}});
    }
    loop_.Post([this] {
      loop_.Cancel(*deadline_);
      stopped_();
    });
  });
}

}  // namespace dp::controller
