// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/status_board.h"

#include <utility>

namespace dp::core {

void StatusBoard::Update(NodeStatus status, std::int64_t now_ms) {
  std::map<std::string, const DeviceStatus*> before;
  for (const DeviceStatus& device : status_.devices) before.emplace(device.id, &device);
  std::map<std::string, Failure> failures;
  for (DeviceStatus& device : status.devices) {
    if (const auto failure = failures_.find(device.id); failure != failures_.end()) {
      device.last_failure = failure->second;
      failures.insert(*failure);
    }
    if (device.since_ms != 0) continue;
    const auto known = before.find(device.id);
    const bool is_same = known != before.end() && known->second->state == device.state &&
                         known->second->pod == device.pod;
    device.since_ms = is_same ? known->second->since_ms : now_ms;
  }
  failures_ = std::move(failures);
  if (status == status_) return;
  status_ = std::move(status);
  ++revision_;
}

void StatusBoard::Note(Occurrence occurrence) {
  occurrence.sequence = ++last_sequence_;
  if (occurrence.warning && !occurrence.device.empty()) {
    failures_[occurrence.device] = {
        .reason = occurrence.reason, .message = occurrence.message, .time_ms = occurrence.time_ms};
  }
  occurrences_.push_back(std::move(occurrence));
  if (occurrences_.size() > kOccurrences) occurrences_.pop_front();
  ++revision_;
}

}  // namespace dp::core
