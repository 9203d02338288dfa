// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/os/syscall.h"

// Why a loop of our own, and not a library's: the daemon has four descriptors and a handful of
// timers, and must not wake up when idle. Three things need care.
//
// A descriptor number can be reused within one batch of epoll_wait(2): a handler removes descriptor
// 7, another adds a new 7, and the batch still holds an event of the old one. Each registration
// therefore has a generation, which travels in the event.
//
// A handler may remove itself or another one whose event is in the same batch. Removed handlers are
// not called any more, but they are freed only when the batch is done, because one of them may be
// the code that is running.
//
// Post() writes to the eventfd only when its queue was empty: a burst of requests costs one wakeup.
//
// Do() saves even that one. On an idle machine most of the time of a call is threads waiting for a
// processor to wake up, and a call needs one thread already: the one that read it. A turn of
// another thread may come between epoll_wait(2) and the dispatch of what it returned. That is like
// a handler of the same batch that ran first, and the generations see to it.
namespace dp::os {
namespace {

std::uint64_t EpollKey(int fd, std::uint32_t generation) {
  return std::uint64_t{generation} << 32 | static_cast<std::uint32_t>(fd);
}

// Failures that mean a bug of this file or a kernel without memory: to go on would leave the daemon
// deaf.
[[noreturn]] void Die(int error, std::string_view action) {
  log::Error("event loop failed", {{"error", ErrnoError(error, action)}});
  std::abort();
}

// Takes the count off an eventfd or timerfd, so that it is no longer readable. One that is not
// readable is fine.
void Drain(int fd) {
  std::uint64_t count = 0;
  const auto size = RetryOnEintr([&] { return ::read(fd, &count, sizeof(count)); });
  if (size < 0 && errno != EAGAIN) Die(errno, "read an eventfd or timerfd");
}

timespec ToTimespec(EventLoop::Clock::duration duration) {
  using std::chrono::duration_cast;
  const auto seconds = duration_cast<std::chrono::seconds>(duration);
  return {.tv_sec = seconds.count(),
          .tv_nsec = duration_cast<std::chrono::nanoseconds>(duration - seconds).count()};
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create() {
  base::UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoError(errno, "create an epoll instance");
  base::UniqueFd wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup.valid()) return ErrnoError(errno, "create an eventfd");
  base::UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.valid()) return ErrnoError(errno, "create a timerfd");

  std::unique_ptr<EventLoop> loop(
      new EventLoop(std::move(epoll), std::move(wakeup), std::move(timer)));
  EventLoop* const self = loop.get();
  RETURN_IF_ERROR(self->WatchReadable(self->wakeup_.get(), [self] { self->RunPosted(); }));
  RETURN_IF_ERROR(self->WatchReadable(self->timer_.get(), [self] { self->RunDueTimers(); }));
  return loop;
}

EventLoop::EventLoop(base::UniqueFd epoll, base::UniqueFd wakeup, base::UniqueFd timer)
    : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)), timer_(std::move(timer)) {}

EventLoop::~EventLoop() {
  // What the handlers own may still call Unwatch() or Cancel() while it is destroyed, so the
  // members outlive the handlers.
  const auto watches = std::exchange(watches_, {});
  const auto timers = std::exchange(timers_, {});
  const auto tasks = std::exchange(due_tasks_, {});
  const auto posted = std::exchange(posted_, {});
}

absl::Status EventLoop::WatchReadable(int fd, Handler handler) {
  const std::uint32_t generation = next_generation_++;
  epoll_event event{.events = EPOLLIN, .data = {.u64 = EpollKey(fd, generation)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) {
    return ErrnoError(errno, "watch descriptor " + std::to_string(fd));
  }
  watches_[fd] =
      Watch{.generation = generation, .handler = std::make_unique<Handler>(std::move(handler))};
  return absl::OkStatus();
}

void EventLoop::Unwatch(int fd) {
  const auto node = watches_.extract(fd);
  if (node.empty()) return;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) < 0) {
    Die(errno, "stop watching descriptor " + std::to_string(fd));
  }
  Discard(std::move(node.mapped().handler));
}

EventLoop::TimerId EventLoop::CallAfter(Clock::duration delay, Handler handler) {
  const auto deadline = Clock::now() + std::max(delay, Clock::duration::zero());
  const std::uint64_t id = next_timer_++;
  const auto [position, inserted] =
      timers_.emplace(TimerKey{deadline, id}, std::make_unique<Handler>(std::move(handler)));
  if (position == timers_.begin()) ArmTimer();
  return TimerId{id};
}

void EventLoop::Cancel(TimerId timer) {
  // A handful of timers at most: a search is cheaper than an index.
  const auto position = std::find_if(timers_.begin(), timers_.end(), [&](const auto& entry) {
    return entry.first.second == static_cast<std::uint64_t>(timer);
  });
  if (position == timers_.end()) return;
  const bool was_first = position == timers_.begin();
  OwnedHandler handler = std::move(position->second);
  timers_.erase(position);
  if (was_first) ArmTimer();
  Discard(std::move(handler));
}

void EventLoop::Post(Handler task) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
    if (posted_.size() > 1) return;
  }
  const std::uint64_t one = 1;
  if (RetryOnEintr([&] { return ::write(wakeup_.get(), &one, sizeof(one)); }) < 0)
    Die(errno, "write to an eventfd");
}

bool EventLoop::HasPosted() {
  const std::lock_guard lock(mutex_);
  return !posted_.empty();
}

void EventLoop::Do(Handler task) {
  if (const std::unique_lock turn(turn_, std::try_to_lock); turn && asleep_ && !HasPosted()) {
    // What the task owns may use the loop while it is destroyed, so that is part of the turn.
    const Handler owned = std::move(task);
    owned();
    return;
  }
  Post(std::move(task));
}

void EventLoop::Stop() {
  Post([this] { stopped_ = true; });
}

// Until there are events. Called with the turn, and has it again when it returns.
int EventLoop::Sleep(std::span<epoll_event> events) {
  asleep_ = true;
  turn_.unlock();
  const int count = RetryOnEintr([&] {
    return ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                        /*timeout=*/-1);
  });
  if (count < 0) Die(errno, "wait for events");
  turn_.lock();
  asleep_ = false;
  return count;
}

void EventLoop::Run() {
  std::array<epoll_event, 16> events;
  const std::lock_guard turn(turn_);
  while (!stopped_) {
    const int count = Sleep(events);
    dispatching_ = true;
    for (int i = 0; i < count && !stopped_; ++i)
      Dispatch(events[static_cast<std::size_t>(i)].data.u64);
    dispatching_ = false;
    // A destructor may remove further handlers; those are freed by Discard() at once.
    std::vector<OwnedHandler> discarded = std::move(discarded_);
    discarded_.clear();
  }
}

void EventLoop::Dispatch(std::uint64_t epoll_key) {
  const int fd = static_cast<int>(epoll_key & 0xffffffff);
  const auto position = watches_.find(fd);
  if (position == watches_.end() || EpollKey(fd, position->second.generation) != epoll_key) return;
  (*position->second.handler)();
}

void EventLoop::RunPosted() {
  Drain(wakeup_.get());
  {
    const std::lock_guard lock(mutex_);
    due_tasks_.swap(posted_);
  }
  while (!due_tasks_.empty() && !stopped_) {
    const Handler task = std::move(due_tasks_.front());
    due_tasks_.pop_front();
    task();
  }
}

void EventLoop::RunDueTimers() {
  Drain(timer_.get());
  // Timers set by these handlers wait for the next round, so that a timer that always sets itself
  // again starves nobody.
  const std::uint64_t first_new_timer = next_timer_;
  const auto now = Clock::now();
  while (!timers_.empty() && !stopped_) {
    const auto [deadline, id] = timers_.begin()->first;
    if (deadline > now || id >= first_new_timer) break;
    const auto timer = timers_.extract(timers_.begin());
    (*timer.mapped())();
  }
  ArmTimer();
}

void EventLoop::ArmTimer() {
  // An all-zero time disarms (timerfd_settime(2)): no timer, no wakeup.
  itimerspec when{};
  if (!timers_.empty()) when.it_value = ToTimespec(timers_.begin()->first.first.time_since_epoch());
  if (::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr) < 0)
    Die(errno, "arm a timerfd");
}

void EventLoop::Discard(OwnedHandler handler) {
  if (dispatching_) discarded_.push_back(std::move(handler));
}

}  // namespace dp::os
