// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor/daemon_check.h"

#include <utility>

namespace dp::monitor {

using Clock = os::EventLoop::Clock;

DaemonCheck::DaemonCheck(admin_client::Admin& admin, Times times) : admin_(admin), times_(times) {}

void DaemonCheck::Ask(Done done) {
  if (last_ && Clock::now() - last_at_ < times_.fresh) {
    done(*last_);
    return;
  }
  waiting_.push_back(std::move(done));
  if (waiting_.size() > 1) return;
  admin_.GetState(times_.deadline, [this](const auto& state) { OnState(state); });
}

void DaemonCheck::OnState(const absl::StatusOr<admin_client::v1::NodeState>& state) {
  last_ = Health{.answers = state.status(), .findings = {}};
  last_at_ = Clock::now();
  if (state.ok()) {
    last_->findings = Judge(*state);
    has_answered_ = true;
  }
  const Health health = *last_;
  for (const Done& done : std::exchange(waiting_, {})) done(health);
}

}  // namespace dp::monitor
