// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "plugin/admin_client/state_watch.h"
#include "plugin/monitor/findings.h"

namespace dp::monitor {

// What the daemon's last state says of the node, for as long as the daemon tells each change. Loop
// thread.
class FactsOfState final : public admin_client::StateObserver {
 public:
  void OnState(const admin_client::v1::NodeState& state) override { facts_ = Judge(state); }
  void OnLost(const absl::Status& /*why*/) override { facts_.clear(); }

  // Empty: nothing is known.
  [[nodiscard]] const std::vector<Finding>& facts() const { return facts_; }

 private:
  std::vector<Finding> facts_;
};

}  // namespace dp::monitor
