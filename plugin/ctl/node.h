// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plugin/core/config.h"
#include "plugin/core/ledger.h"
#include "plugin/core/window.h"

// How things stand on a node: what the daemon says, or what its records say, and beside it what the
// kernel says. Plain values. Words are texts, because a daemon may be younger than this program.
namespace dp::ctl {

enum class State {
  kUnknown,
  kFree,
  kAllocated,  // no container was started with it yet
  kStarted,
  kUnhealthy,  // and nobody has it
};
// "free".
std::string_view NameOf(State state);

// The window of a group as the kernel has it.
struct KernelWindow {
  bool is_read = false;
  std::optional<core::Window> window;  // empty: the group has none
  std::string error;                   // why it is not read

  friend bool operator==(const KernelWindow&, const KernelWindow&) = default;
};

struct Failure {
  std::string reason;
  std::string message;
  std::int64_t time_ms = 0;  // since the Unix epoch, as all times here; 0: not known

  friend bool operator==(const Failure&, const Failure&) = default;
};

struct Device {
  std::string id;
  std::string resource;  // empty: nothing offers it
  std::uint32_t group = 0;
  std::string function;
  std::string driver;  // empty: none
  std::optional<int> numa_node;
  std::string reason;     // why it is not healthy, as a word; empty: it is
  std::string unhealthy;  // the same as a clause
  std::string observe;    // why its window is left alone; empty: it need not be
  State state = State::kUnknown;
  std::int64_t since_ms = 0;
  std::optional<core::Window> window;  // that is reserved for it
  std::optional<core::PodName> pod;
  std::optional<Failure> last_failure;
  KernelWindow kernel;

  friend bool operator==(const Device&, const Device&) = default;
};

// A window that nobody was given any more, or given to nobody that is known.
struct Leftover {
  std::string device;
  std::uint32_t group = 0;
  core::Window window;
  std::int64_t since_ms = 0;

  friend bool operator==(const Leftover&, const Leftover&) = default;
};

struct Occurrence {
  std::int64_t time_ms = 0;
  bool warning = false;
  std::string reason;
  std::string message;
  std::string device;
  std::string resource;
  std::optional<core::PodName> pod;

  friend bool operator==(const Occurrence&, const Occurrence&) = default;
};

// What only a daemon that runs can say.
struct Daemon {
  std::string version;
  std::int64_t started_ms = 0;
  std::string mode;  // "enforce"
  std::string config_file;
  std::string config_error;  // why a newer file is refused; empty: it is not
  std::string ledger_error;
  std::string pods_error;

  friend bool operator==(const Daemon&, const Daemon&) = default;
};

struct Node {
  std::optional<Daemon> daemon;  // empty: it did not answer, and this is from ledger and kernel
  core::Pool pool;
  std::uint64_t free_windows = 0;
  std::vector<Device> devices;  // resource by resource, in the order of their IDs
  std::vector<Leftover> leftovers;
  std::vector<Occurrence> occurrences;  // the oldest first

  friend bool operator==(const Node&, const Node&) = default;
};

// Whether the kernel has another window for the group than it should: the reserved one, or the
// default one if nothing is reserved. Not if its window is left alone, or cannot be read.
bool Differs(const Device& device);

}  // namespace dp::ctl
