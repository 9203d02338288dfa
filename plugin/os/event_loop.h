// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"

struct epoll_event;

namespace dp::os {

// One epoll(7) set and one turn at a time: all mutable state of the daemon belongs to whoever runs
// handlers of the loop. That is the thread that calls Run(); while it sleeps, a thread that calls
// Do() may take its turn. Every other thread (gRPC's) reaches that state through Post() and Do()
// alone.
//
// Handlers run one at a time. A handler may add and remove descriptors and
// timers, its own included: what is removed during a dispatch is not called any more and is freed
// after it.
//
// The loop sleeps without a time-out: no descriptor ready, no timer due, nothing posted means no
// wakeup.
class EventLoop {
 public:
  using Handler = std::function<void()>;
  using Clock = std::chrono::steady_clock;
  enum class TimerId : std::uint64_t {};

  // Fails if the kernel refuses an epoll instance, an eventfd or a timerfd.
  static absl::StatusOr<std::unique_ptr<EventLoop>> Create();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // Calls `handler` whenever `fd` is readable (level-triggered) or hung up. The caller keeps the
  // descriptor and must Unwatch() it before closing it.
  absl::Status WatchReadable(int fd, Handler handler);
  void Unwatch(int fd);

  // Calls `handler` once, `delay` from now.
  TimerId CallAfter(Clock::duration delay, Handler handler);
  // Harmless if the timer has fired already.
  void Cancel(TimerId timer);

  // From any thread: runs `task` on the loop thread, in the order of the calls. Besides Do() and
  // Stop() the only member that other threads may use.
  void Post(Handler task);

  // From any thread but the loop's: as Post(), but if the loop sleeps and nothing is posted, `task`
  // runs at once, on the calling thread. That saves its caller the time in which another thread
  // wakes up. Hold no lock that a handler wants.
  void Do(Handler task);

  // Runs until Stop(); call it once. Tasks posted before Stop() are run first; later ones are
  // destroyed with the loop, unrun.
  void Run();
  void Stop();

 private:
  // On the heap, so that a handler that removes itself stays where it is until it has returned.
  using OwnedHandler = std::unique_ptr<Handler>;
  struct Watch {
    std::uint32_t generation = 0;
    OwnedHandler handler;
  };
  // Ordered by time, then by age.
  using TimerKey = std::pair<Clock::time_point, std::uint64_t>;

  EventLoop(base::UniqueFd epoll, base::UniqueFd wakeup, base::UniqueFd timer);
  int Sleep(std::span<epoll_event> events);
  void Dispatch(std::uint64_t epoll_key);
  bool HasPosted();
  void RunPosted();
  void RunDueTimers();
  void ArmTimer();
  void Discard(OwnedHandler handler);

  base::UniqueFd epoll_;
  base::UniqueFd wakeup_;  // eventfd(2): something was posted
  base::UniqueFd timer_;   // timerfd_create(2): armed for the earliest of timers_
  std::unordered_map<int, Watch> watches_;
  std::uint32_t next_generation_ = 0;
  std::map<TimerKey, OwnedHandler> timers_;
  std::uint64_t next_timer_ = 0;
  std::deque<Handler> due_tasks_;  // taken over from posted_
  std::vector<OwnedHandler> discarded_;
  bool dispatching_ = false;
  bool stopped_ = false;

  std::mutex turn_;  // held by whoever runs handlers, from Run() on
  // Guarded by turn_: between Run() and its end, but for the turns of its thread.
  bool asleep_ = false;

  std::mutex mutex_;            // nests inside turn_
  std::deque<Handler> posted_;  // guarded by mutex_
};

}  // namespace dp::os
