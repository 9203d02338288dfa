// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plugin/base/reason.h"
#include "plugin/core/config.h"
#include "plugin/core/ledger.h"
#include "plugin/core/window.h"

// How things stand, for people and for what shows it to them. Plain values.
namespace dp::core {

enum class DeviceState {
  kFree,
  kAllocated,  // no container was started with it yet
  kStarted,
  kUnhealthy,  // and nobody has it
};

// What has gone wrong with a device last.
struct Failure {
  base::Reason reason = base::Reason::kBadRequest;
  std::string message;
  std::int64_t time_ms = 0;  // since the Unix epoch, as all times here

  friend bool operator==(const Failure&, const Failure&) = default;
};

struct DeviceStatus {
  std::string id;
  std::string resource;  // empty: nothing offers it, and somebody has it all the same
  std::uint32_t group = 0;
  std::string function;
  std::string driver;
  std::optional<int> numa_node;
  std::optional<base::Reason> reason;  // why it is unhealthy; empty: it is not
  std::string unhealthy;               // the same as a clause
  std::string observe;
  DeviceState state = DeviceState::kFree;
  std::int64_t since_ms = 0;     // of the state
  std::optional<Window> window;  // that is reserved for it
  std::optional<PodName> pod;
  std::optional<Failure> last_failure;

  friend bool operator==(const DeviceStatus&, const DeviceStatus&) = default;
};

struct LeftoverStatus {
  std::string device;
  std::uint32_t group = 0;
  Window window;

  friend bool operator==(const LeftoverStatus&, const LeftoverStatus&) = default;
};

struct NodeStatus {
  Mode mode = Mode::kEnforce;
  Pool pool;
  std::size_t windows = 0;
  std::size_t free_windows = 0;
  std::size_t groups_with_knob = 0;
  std::size_t groups_without_knob = 0;
  std::string knob_error;  // why no window can be moved; empty: nothing is against it
  std::uint64_t ledger_generation = 0;
  std::string ledger_error;  // of the last write; empty: none
  std::string pods_error;    // of the last question to the kubelet; empty: none
  std::vector<DeviceStatus> devices;
  std::vector<LeftoverStatus> leftovers;

  friend bool operator==(const NodeStatus&, const NodeStatus&) = default;
};

// What an administrator may want to be told of.
struct Occurrence {
  std::uint64_t sequence = 0;
  std::int64_t time_ms = 0;
  bool warning = false;
  base::Reason reason = base::Reason::kBadRequest;
  std::string message = {};  // one sentence
  std::string device = {};   // empty: of no device
  std::string resource = {};
  std::optional<PodName> pod = {};
};

}  // namespace dp::core
