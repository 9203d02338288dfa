// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "plugin/admin_client/admin.h"
#include "plugin/monitor/findings.h"
#include "plugin/os/event_loop.h"

namespace dp::monitor {

// Whether the daemon's loop turns, and what it then says of the node. Loop thread.
//
// The stream of states says nothing of that: a daemon that hangs tells no change, and neither does
// one where nothing changes.
class DaemonCheck {
 public:
  struct Health {
    absl::Status answers;           // of GetState
    std::vector<Finding> findings;  // if it does
  };
  struct Times {
    // Longer than the kubelet waits for a probe by itself, and short enough for two in 10 s.
    std::chrono::milliseconds deadline{3000};
    // However many ask, the daemon is asked as often.
    std::chrono::milliseconds fresh{1000};
  };
  using Done = std::function<void(const Health&)>;

  // `admin` outlives this.
  DaemonCheck(admin_client::Admin& admin, Times times);
  DaemonCheck(const DaemonCheck&) = delete;
  DaemonCheck& operator=(const DaemonCheck&) = delete;
  ~DaemonCheck() = default;

  // Calls `done` once, within the deadline, possibly before it returns.
  void Ask(Done done);
  // Whether there was an answer, ever.
  [[nodiscard]] bool has_answered() const { return has_answered_; }

 private:
  void OnState(const absl::StatusOr<admin_client::v1::NodeState>& state);

  admin_client::Admin& admin_;
  const Times times_;
  std::optional<Health> last_;
  os::EventLoop::Clock::time_point last_at_;
  std::vector<Done> waiting_;  // not empty: a call is under way
  bool has_answered_ = false;
};

}  // namespace dp::monitor
