// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "plugin/status/node_state.h"

namespace dp::status {

inline constexpr char kConditionType[] = "VfioDoorbellReady";

// What the condition of the node says: whether a VM that comes now gets its devices with a window.
struct Condition {
  std::string status;   // "True", "False" or "Unknown"
  std::string reason;   // CamelCase
  std::string message;  // one sentence
  friend bool operator==(const Condition&, const Condition&) = default;
};

// Of what the daemon says. Nothing in it changes with a pod that comes or goes, unless the node can
// take no other one: each write of it rewrites the whole node in etcd.
Condition ConditionOf(const NodeState& state);
// If the daemon does not answer; `why` is a clause.
Condition ConditionWithoutDaemon(const std::string& why);

// A condition as the API server has it.
struct WrittenCondition {
  Condition condition;
  std::string transition;  // lastTransitionTime, as it stands there
};
// Of the Node object. `transition` is empty if the node has no such condition.
WrittenCondition FindCondition(const nlohmann::json& node);

// The strategic merge patch that makes it so: of this condition only, with the time of the last
// transition kept while the status is the same.
nlohmann::json ConditionPatch(const WrittenCondition& written, const Condition& wanted, Time now);

}  // namespace dp::status
