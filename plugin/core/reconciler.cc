// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/reconciler.h"

#include <utility>

#include "plugin/base/log.h"
#include "plugin/core/pod_index.h"

namespace dp::core {

void Reconciler::Start() {
  const bool nothing_to_do = tools_.reservations.empty() && tools_.books.saved();
  if (stopped_ || nothing_to_do || std::exchange(running_, true)) return;
  tools_.timers.CallAfter(leave_.interval, [this] { Ask(); });
}

void Reconciler::Ask() {
  if (stopped_) return;
  // What is done between the question and the answer counts as later than the answer.
  tools_.pods.List(
      [this, asked = tools_.timers.Now()](const absl::StatusOr<std::vector<PodDevices>>& listed) {
        if (stopped_) return;
        tools_.in_turn([this, asked, listed] {
          if (!stopped_) Look(listed, asked);
        });
      });
}

void Reconciler::Look(const absl::StatusOr<std::vector<PodDevices>>& listed,
                      Reservations::Time asked) {
  std::string failure;
  if (listed.ok()) {
    if (tools_.reservations.Reconcile(PodIndex(*listed), asked, leave_.grace))
      tools_.books.Changed();
  } else {
    failure = std::string(listed.status().message());
    if (failure != last_failure_) {
      log::Warning("pods not listed",
                   {{"reason", absl::IsNotFound(listed.status()) ? "pods_absent" : "pods_failed"},
                    {"error", listed.status()}});
    }
  }
  tools_.reservations.ResetLeftovers();
  if (const absl::Status status = tools_.books.Save(); !status.ok()) {
    failure = std::string(status.message());
    if (failure != last_failure_) {
      log::Error("ledger not written", {{"reason", "ledger_save"}, {"error", status}});
    }
  }
  last_failure_ = std::move(failure);
  running_ = false;
  Start();
}

}  // namespace dp::core
