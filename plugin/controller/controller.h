// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "plugin/base/backoff.h"
#include "plugin/controller/lease.h"
#include "plugin/controller/pass.h"
#include "plugin/controller/permits.h"
#include "plugin/os/event_loop.h"

namespace dp::controller {

// Runs one pass after the other: at once, then every `interval` while all is well, and with
// back-off while it is not. Says what changes, once. Lives on the loop; a pass, which waits for the
// API server, has a thread of its own, so that the loop can end it.
class Controller {
 public:
  struct Pace {
    std::chrono::milliseconds interval{30000};
    std::chrono::milliseconds first_retry{1000};
    std::chrono::milliseconds longest_retry{60000};
    // Of a whole pass.
    std::chrono::milliseconds deadline{60000};
  };
  struct Hooks {
    // From the loop, while a pass is under way: make its calls fail. And, when it has ended: let
    // calls work again.
    std::function<void()> cancel;
    std::function<void()> reopen;
    // After each pass, on the loop.
    std::function<void(const Outcome&)> passed;
  };

  // All outlive it, and it outlives the run of the loop.
  Controller(os::EventLoop& loop, Pass& pass, Lease& lease, Pace pace, Hooks hooks);
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;
  ~Controller();

  // What the configuration wants from now on; has a pass made at once. Begins the work.
  void Want(std::vector<Permit> permits);
  // Ends the pass under way, gives the lease back, calls `stopped`.
  void Stop(std::function<void()> stopped);

 private:
  void Begin();
  void Ended(const Outcome& outcome);
  void Schedule(std::chrono::milliseconds delay);
  void Report(const Outcome& outcome);
  void Leave();

  os::EventLoop& loop_;
  Pass& pass_;
  Lease& lease_;
  const Pace pace_;
  const Hooks hooks_;
  base::Backoff backoff_;
  std::vector<Permit> permits_;
  bool again_ = false;  // something has changed while a pass was under way
  bool running_ = false;
  std::function<void()> stopped_;  // it is to end
  std::optional<os::EventLoop::TimerId> timer_;
  std::optional<os::EventLoop::TimerId> deadline_;
  std::string last_report_;
  std::vector<Remark> last_remarks_;
  std::vector<std::string> last_waiting_;
  std::thread worker_;
};

}  // namespace dp::controller
