// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "plugin/base/backoff.h"
#include "plugin/os/event_loop.h"
#include "plugin/status/node_state.h"
#include "plugin/status/pass.h"

namespace dp::status {

// Keeps Kubernetes in step with what the daemon says: a pass soon after each change, one a second
// at most, and for each part that fails again after a back-off. Says what changes, once. Lives on
// the loop, and none of its calls waits; a pass, which waits for the API server, has a thread of
// its own, so that the loop can end it.
class Publisher {
 public:
  struct Pace {
    // Between the beginnings of two passes.
    std::chrono::milliseconds least{1000};
    std::chrono::milliseconds first_retry{1000};
    std::chrono::milliseconds longest_retry{60000};
    // Of a whole pass.
    std::chrono::milliseconds deadline{30000};
    // A daemon that is silent for a shorter time was only restarted: nobody is told.
    std::chrono::milliseconds silence{15000};
    // As in the options of the pass.
    std::chrono::milliseconds heartbeat = std::chrono::minutes(10);
  };
  struct Hooks {
    // From the loop, while a pass is under way: make its calls fail. And, when it has ended: let
    // calls work again.
    std::function<void()> cancel;
    std::function<void()> reopen;
    // After each pass, on the loop.
    std::function<void(const Outcome&)> passed;
  };

  // `parts` are those that are switched on. All outlive it, and it outlives the run of the loop.
  Publisher(os::EventLoop& loop, Pass& pass, const std::vector<Part>& parts, Pace pace,
            Hooks hooks);
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;
  ~Publisher();

  // What the daemon says now. Occurrences may come again with the next state, and do.
  void Show(NodeState state);
  // The daemon does not answer; `why` is a clause. May be called again and again until it does: the
  // first reason counts, so that one with a time in it is not another one. What the daemon said
  // last stays in the object, marked.
  void Silence(const std::string& why);
  // Ends the pass under way, then calls `stopped`. What stands in Kubernetes stays there: the next
  // monitor goes on with it, and without one the heartbeat of the condition grows old.
  void Stop(std::function<void()> stopped);

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Line {
    Part part;
    base::Backoff backoff;
    bool changed = false;   // there is something new to tell
    TimePoint not_before;   // whatever there is
    TimePoint again;        // with nothing new
    std::string_view last;  // of its reports: the reason
  };

  [[nodiscard]] static TimePoint DueTime(const Line& line);
  void Changed();
  void Schedule();
  void Begin();
  void Ended(const Outcome& outcome);
  void Settle(const Report& report, TimePoint now);
  void Log(const Outcome& outcome);

  os::EventLoop& loop_;
  Pass& pass_;
  const Pace pace_;
  const Hooks hooks_;
  std::vector<Line> lines_;
  Wanted wanted_;
  Time daemon_started_;
  std::uint64_t last_sequence_ = 0;  // of its occurrences
  bool running_ = false;
  TimePoint begun_;
  std::function<void()> stopped_;  // it is to end
  std::optional<os::EventLoop::TimerId> timer_;
  std::optional<os::EventLoop::TimerId> silence_;  // it does not answer, which is not told yet
  std::optional<os::EventLoop::TimerId> deadline_;
  std::thread worker_;
};

// The same pace for a node all the time, and a little different for each, so that thousands of them
// do not come back to an API server in the same moment.
Publisher::Pace PaceOf(const std::string& node);

}  // namespace dp::status
