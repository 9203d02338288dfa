// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "plugin/status/condition.h"
#include "plugin/status/node_state.h"

namespace dp::status {

// The custom object of a node: helm/vfio-doorbell/templates/crd.yaml.
inline constexpr char kDoorbellNodes[] = "/apis/vfio-doorbell.io/v1alpha1/doorbellnodes";

// Which of the daemon's occurrences have become Events: those up to `sequence` of the daemon that
// started then. It stands in the object, so that another monitor goes on where this one ended.
struct Told {
  Time daemon_started;
  std::uint64_t sequence = 0;
  friend bool operator==(const Told&, const Told&) = default;
};

// The object without status. Its owner is the Node, with which it goes.
nlohmann::json DoorbellNode(const std::string& node, const std::string& node_uid);

// Of the devices' list. With all else, which is bounded by itself, the object stays below 1 MiB;
// etcd takes 1.5 MiB.
inline constexpr std::size_t kMostDeviceBytes = std::size_t{900} << 10;

// Its status. If the devices would have more than `most_bytes`, those that nobody asks for are left
// out first: free and well ones, then reserved ones, and last those that are unhealthy or have
// failed; `devicesLeftOut` says how many. Each text is cut to what a line has room for.
nlohmann::json DoorbellNodeStatus(const NodeState& state, const Condition& condition,
                                  const Told& told, std::size_t most_bytes = kMostDeviceBytes);

// Says only what the condition says, and leaves the rest as it is.
void MarkStatus(const Condition& condition, nlohmann::json& status);

// What an object says that was told; nothing if it does not say.
Told FindTold(const nlohmann::json& object);

}  // namespace dp::status
