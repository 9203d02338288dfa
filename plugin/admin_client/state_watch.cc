// SPDX-License-Identifier: Apache-2.0
#include "plugin/admin_client/state_watch.h"

#include <utility>

#include "plugin/base/log.h"

namespace dp::admin_client {

StateWatch::StateWatch(os::EventLoop& loop, Admin& admin, Pace pace)
    : loop_(loop), admin_(admin), pace_(pace), backoff_(pace.first_retry, pace.longest_retry) {}

void StateWatch::Connect() {
  admin_.WatchState(
      pace_.first_state, [this](const v1::NodeState& state) { OnState(state); },
      [this](const absl::Status& why) { OnEnd(why); });
}

void StateWatch::OnState(const v1::NodeState& state) {
  if (stopped_) return;
  if (!counters_.connected) {
    counters_.connected = true;
    ++counters_.connects;
    lost_ = false;
    backoff_.Reset();
    log::Info("daemon found",
              {{"version", state.daemon().version()}, {"devices", state.devices_size()}});
  }
  for (StateObserver* observer : observers_) observer->OnState(state);
}

void StateWatch::OnEnd(const absl::Status& why) {
  if (stopped_) return;
  if (std::exchange(counters_.connected, false)) ++counters_.losses;
  // Each attempt fails as the one before: said once.
  if (!std::exchange(lost_, true)) {
    log::Warning("daemon lost", {{"reason", "daemon_lost"}, {"error", why}});
    for (StateObserver* observer : observers_) observer->OnLost(why);
  }
  retry_ = loop_.CallAfter(backoff_.Next(), [this] {
    retry_.reset();
    Connect();
  });
}

void StateWatch::Stop() {
  stopped_ = true;
  if (retry_) loop_.Cancel(*std::exchange(retry_, std::nullopt));
}

}  // namespace dp::admin_client
