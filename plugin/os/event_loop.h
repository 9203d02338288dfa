// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"

namespace dp::os {

// One thread, one epoll(7) set: the thread that calls Run() owns all mutable state of the daemon. Every other thread (gRPC's)
// reaches that state through Post() alone.
//
// Handlers run on the loop thread, one at a time. A handler may add and remove descriptors and timers, its own included: what is
// removed during a dispatch is not called any more and is freed after it.
//
// The loop sleeps without a time-out: no descriptor ready, no timer due, nothing posted means no wakeup.
class EventLoop {
 public:
  using Handler = std::function<void()>;
  using Clock = std::chrono::steady_clock;
  enum class TimerId : std::uint64_t {};

  // Internal: the kernel refuses an epoll instance, an eventfd or a timerfd.
  static absl::StatusOr<std::unique_ptr<EventLoop>> Create();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // Calls `handler` whenever `fd` is readable (level-triggered) or hung up. The caller keeps the descriptor and must Unwatch()
  // it before closing it.
  absl::Status WatchReadable(int fd, Handler handler);
  void Unwatch(int fd);

  // Calls `handler` once, `delay` from now.
  TimerId CallAfter(Clock::duration delay, Handler handler);
  // Harmless if the timer has fired already.
  void Cancel(TimerId timer);

  // From any thread: runs `task` on the loop thread, in the order of the calls. The only member that other threads may use.
  void Post(Handler task);

  // Runs until Stop(). Tasks posted before Stop() are run first; later ones are destroyed with the loop, unrun.
  void Run();
  void Stop();
};

}  // namespace dp::os
