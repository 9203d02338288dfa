// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/reconciler.h"

#include <utility>

#include "plugin/base/log.h"
#include "plugin/core/pod_index.h"

namespace dp::core {

void Reconciler::Start() {
  const bool nothing_to_do = tools_.reservations.empty() && tools_.books.saved();
  if (stopped_ || nothing_to_do || std::exchange(running_, true)) return;
  tools_.timers.CallAfter(leave_.interval, [this] {
    Ask([this] {
      running_ = false;
      Start();
    });
  });
}

void Reconciler::Hint() {
  if (running_) Ask([] {});
}

void Reconciler::Ask(std::function<void()> then) {
  if (stopped_) return;
  // What is done between the question and the answer counts as later than the answer.
  tools_.pods.List([this, then = std::move(then), asked = tools_.timers.Now()](
                       const absl::StatusOr<std::vector<PodDevices>>& listed) {
    if (stopped_) return;
    tools_.in_turn([this, then, asked, listed] {
      if (stopped_) return;
      Look(listed, asked);
      then();
    });
  });
}

void Reconciler::Look(const absl::StatusOr<std::vector<PodDevices>>& listed,
                      Reservations::Time asked) {
  const auto start = tools_.timers.Now();
  pods_error_ = std::string(listed.status().message());
  std::string failure;
  if (listed.ok()) {
    if (tools_.reservations.Reconcile(PodIndex(*listed), asked, leave_.grace))
      tools_.books.Changed();
  } else {
    failure = std::string(listed.status().message());
    if (failure != last_failure_) {
      log::Warning("pods not listed",
                   {{"reason", absl::IsNotFound(listed.status()) ? base::Reason::kPodsAbsent
                                                                 : base::Reason::kPodsFailed},
                    {"error", listed.status()}});
    }
  }
  if (tools_.reservations.ResetLeftovers()) tools_.books.Changed();
  if (const absl::Status status = tools_.books.Save(); !status.ok()) {
    failure = std::string(status.message());
    if (failure != last_failure_) {
      log::Error("ledger not written",
                 {{"reason", base::Reason::kLedgerNotWritten}, {"error", status}});
    }
  }
  last_failure_ = std::move(failure);
  if (looked_) looked_(tools_.timers.Now() - start);
}

}  // namespace dp::core
