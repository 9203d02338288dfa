// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "plugin/core/node_status.h"

namespace dp::core {

// What the status alone does not say: since when things are so, and what happened before.
class StatusBoard {
 public:
  static constexpr std::size_t kOccurrences = 64;

  // The status of this moment. Keeps it, with times.
  void Update(NodeStatus status, std::int64_t now_ms);
  // Gives it its number, and drops the oldest one if there are too many. One of a device is its
  // last failure, if it is a warning.
  void Note(Occurrence occurrence);
  // Something has changed that the status does not have.
  void Touch() { ++revision_; }

  // Grows with each change.
  [[nodiscard]] std::uint64_t revision() const { return revision_; }
  [[nodiscard]] const NodeStatus& status() const { return status_; }
  // The oldest first.
  [[nodiscard]] const std::deque<Occurrence>& occurrences() const { return occurrences_; }

 private:
  NodeStatus status_;
  std::deque<Occurrence> occurrences_;
  std::map<std::string, Failure> failures_;  // by device; of those that are in the status
  std::uint64_t revision_ = 1;
  std::uint64_t last_sequence_ = 0;
};

}  // namespace dp::core
