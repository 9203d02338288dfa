// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// What the daemon says of itself (api/admin/v1), as far as Kubernetes is told of it, in plain
// values: who tells it neither knows nor cares how it came. wire/from_proto makes it of the
// message.
namespace dp::status {

// The epoch: not known.
using Time = std::chrono::system_clock::time_point;

struct Window {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  friend bool operator==(const Window&, const Window&) = default;
};

struct Pod {
  std::string space;
  std::string name;
  friend bool operator==(const Pod&, const Pod&) = default;
};

struct Failure {
  std::string reason;
  std::string message;
  Time time;
};

enum class Mode { kUnknown, kEnforce, kObserve };
enum class DeviceState { kUnknown, kFree, kAllocated, kStarted, kUnhealthy };

struct Device {
  std::string id;
  std::string resource;
  std::uint32_t group = 0;
  std::string function;
  std::string driver;
  std::optional<std::int32_t> numa_node;
  bool healthy = false;
  std::string reason;     // why it is not, as a word
  std::string unhealthy;  // the same as a clause
  DeviceState state = DeviceState::kUnknown;
  Time since;
  std::optional<Window> window;
  std::optional<Pod> pod;
  std::optional<Failure> last_failure;
};

struct Resource {
  std::string name;
  bool watched = false;
  std::string failure;
  bool observe = false;
  bool iommufd = false;
};

struct Leftover {
  std::string device;
  std::uint32_t group = 0;
  Window window;
  Time since;
};

struct Occurrence {
  Time daemon_started;  // with `sequence` its name: numbers begin anew with the daemon
  std::uint64_t sequence = 0;
  Time time;
  bool warning = false;
  std::string reason;
  std::string message;
  std::string device;
  std::optional<Pod> pod;
};

struct Daemon {
  std::string version;
  Time started;
  Mode mode = Mode::kUnknown;
  std::uint64_t config_generation = 0;
  std::string config_hash;
  std::string config_error;
  std::string ledger_error;
  std::string pods_error;
  std::string knob_error;
  std::uint32_t groups_with_knob = 0;
  std::uint32_t groups_without_knob = 0;
  std::string boot_id;
};

struct Pool {
  std::uint64_t start = 0;
  std::uint64_t end = 0;  // exclusive
  std::uint64_t window_size = 0;
  std::uint64_t windows = 0;
  std::uint64_t free = 0;
};

struct NodeState {
  Daemon daemon;
  Pool pool;
  std::vector<Resource> resources;
  std::vector<Device> devices;
  std::vector<Leftover> leftovers;
  std::vector<Occurrence> occurrences;
};

}  // namespace dp::status
