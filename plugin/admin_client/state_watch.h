// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "plugin/admin_client/admin.h"
#include "plugin/base/backoff.h"
#include "plugin/os/event_loop.h"

namespace dp::admin_client {

// Whoever wants to know how things stand on the node. Loop thread.
class StateObserver {
 public:
  virtual ~StateObserver() = default;

  // How things stand now: when the stream begins, and after each change. It may be another daemon
  // than before (`daemon.started_ms`), and what happened while nobody listened is in it.
  virtual void OnState(const v1::NodeState& state) = 0;
  // Nobody says so any more: what was seen last may have changed. Once, until the next OnState();
  // also if there has been none yet.
  virtual void OnLost(const absl::Status& why) = 0;
};

// Keeps the daemon's stream of states open, with one attempt after the other while there is no
// daemon. Loop thread.
class StateWatch {
 public:
  struct Pace {
    std::chrono::milliseconds first_retry{100};
    // A daemon that has come back is found so much later.
    std::chrono::milliseconds longest_retry{2000};
    std::chrono::milliseconds first_state{5000};  // for a daemon that accepts and says nothing
  };
  struct Counters {
    bool connected = false;
    std::uint64_t connects = 0;  // streams that brought a state
    std::uint64_t losses = 0;    // of those, the ones that ended
  };

  // All outlive this. Begins with Start().
  StateWatch(os::EventLoop& loop, Admin& admin, Pace pace);
  StateWatch(const StateWatch&) = delete;
  StateWatch& operator=(const StateWatch&) = delete;
  // After Stop(), and after `admin` has stopped.
  ~StateWatch() = default;

  // Before Start(). They are told in this order.
  void Add(StateObserver& observer) { observers_.push_back(&observer); }
  void Start() { Connect(); }
  // No more attempts, and nobody is told anything any more.
  void Stop();
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  void Connect();
  void OnState(const v1::NodeState& state);
  void OnEnd(const absl::Status& why);

  os::EventLoop& loop_;
  Admin& admin_;
  const Pace pace_;
  std::vector<StateObserver*> observers_;
  base::Backoff backoff_;
  Counters counters_;
  bool lost_ = false;  // and they know
  bool stopped_ = false;
  std::optional<os::EventLoop::TimerId> retry_;
};

}  // namespace dp::admin_client
