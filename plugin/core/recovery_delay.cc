// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/recovery_delay.h"

#include <utility>

namespace dp::core {

RecoveryDelay::RecoveryDelay(Timers& timers, std::function<void()> settled)
    : timers_(timers), settled_(std::move(settled)) {}

std::vector<Offer> RecoveryDelay::Apply(std::span<const Offer> told, std::vector<Offer> found) {
  const std::uint64_t batch = ++last_batch_;
  bool started = false;
  auto now = found.begin();
  for (const Offer& before : told) {
    while (now != found.end() && IdBefore(now->id, before.id)) ++now;
    const bool still_there = now != found.end() && now->id == before.id;
    if (before.healthy() || !still_there || !now->healthy()) {
      recoveries_.erase(before.id);
      continue;
    }
    const auto [recovery, fresh] = recoveries_.try_emplace(before.id, Recovery{.batch = batch});
    if (recovery->second.settled) {
      recoveries_.erase(recovery);
      continue;
    }
    now->unhealthy_reason = before.unhealthy_reason;
    now->reason = before.reason;
    started |= fresh;
  }
  if (started) timers_.CallAfter(kSettled, [this, batch] { OnTimer(batch); });
  return found;
}

// A device that has been unhealthy meanwhile is of a later batch, or of none.
void RecoveryDelay::OnTimer(std::uint64_t batch) {
  bool any = false;
  for (auto& [id, recovery] : recoveries_) {
    if (recovery.batch != batch) continue;
    recovery.settled = true;
    any = true;
  }
  if (any) settled_();
}

}  // namespace dp::core
