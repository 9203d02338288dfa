// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/event_loop.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace dp::os {
namespace {

using ::std::chrono::hours;
using ::std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Counts its living copies, so that a test sees when a handler that holds one is freed.
class Counted {
 public:
  explicit Counted(int& alive) : alive_(alive) { ++alive_; }
  Counted(const Counted& other) : alive_(other.alive_) { ++alive_; }
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --alive_; }

 private:
  int& alive_;
};

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    reader = base::UniqueFd(ends[0]);
    writer = base::UniqueFd(ends[1]);
  }
  void Fill() const { EXPECT_EQ(::write(writer.get(), "x", 1), 1); }
  void Empty() const {
    char byte = 0;
    EXPECT_EQ(::read(reader.get(), &byte, 1), 1);
  }

  base::UniqueFd reader;
  base::UniqueFd writer;
};

class EventLoopTest : public testing::Test {
 protected:
  EventLoopTest() : loop_owner_(*EventLoop::Create()), loop_(*loop_owner_) {
    // The deadline of every test: a loop that hangs fails, and says so.
    loop_.CallAfter(std::chrono::seconds(20),
                    [] { FAIL() << "the loop was not stopped within 20 s"; });
  }

  std::unique_ptr<EventLoop> loop_owner_;
  EventLoop& loop_;
};

TEST_F(EventLoopTest, CallsTheHandlerWhileReadable) {
  const Pipe pipe;
  pipe.Fill();
  pipe.Fill();
  int calls = 0;
  ASSERT_TRUE(loop_
                  .WatchReadable(pipe.reader.get(),
                                 [&] {
                                   pipe.Empty();
                                   if (++calls == 2) loop_.Stop();
                                 })
                  .ok());
  loop_.Run();
  EXPECT_EQ(calls, 2);
}

TEST_F(EventLoopTest, CallsTheHandlerWhenHungUp) {
  Pipe pipe;
  ASSERT_TRUE(loop_.WatchReadable(pipe.reader.get(), [&] { loop_.Stop(); }).ok());
  pipe.writer.Reset();
  loop_.Run();
}

TEST_F(EventLoopTest, RefusesADescriptorTwiceAndOneThatCannotBeWatched) {
  const Pipe pipe;
  ASSERT_TRUE(loop_.WatchReadable(pipe.reader.get(), [] {}).ok());
  const absl::Status twice = loop_.WatchReadable(pipe.reader.get(), [] {});
  EXPECT_EQ(twice.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(twice.message()),
              HasSubstr("cannot watch descriptor " + std::to_string(pipe.reader.get())));
  EXPECT_FALSE(loop_.WatchReadable(-1, [] {}).ok());
}

TEST_F(EventLoopTest, HandlerThatRemovesItselfIsFreedAfterItReturns) {
  const Pipe pipe;
  pipe.Fill();
  int alive = 0;
  int alive_in_handler = 0;
  int alive_after = -1;
  ASSERT_TRUE(loop_
                  .WatchReadable(pipe.reader.get(),
                                 [&, counted = Counted(alive)] {
                                   loop_.Unwatch(pipe.reader.get());
                                   alive_in_handler = alive;
                                   loop_.CallAfter({}, [&] {
                                     alive_after = alive;
                                     loop_.Stop();
                                   });
                                 })
                  .ok());
  loop_.Run();
  EXPECT_EQ(alive_in_handler, 1);
  EXPECT_EQ(alive_after, 0);
}

TEST_F(EventLoopTest, HandlerRemovedByAnotherOfTheSameBatchIsNotCalled) {
  const Pipe first;
  const Pipe second;
  first.Fill();
  second.Fill();
  int alive = 0;
  int calls = 0;
  int alive_in_handler = 0;
  // Which of the two comes first is the kernel's choice: whichever does removes the other.
  const auto watch = [&](const Pipe& mine, const Pipe& other) {
    return loop_.WatchReadable(mine.reader.get(),
                               [&, &mine = mine, &other = other, counted = Counted(alive)] {
                                 ++calls;
                                 mine.Empty();
                                 loop_.Unwatch(other.reader.get());
                                 alive_in_handler = alive;
                                 loop_.Stop();
                               });
  };
  ASSERT_TRUE(watch(first, second).ok());
  ASSERT_TRUE(watch(second, first).ok());
  loop_.Run();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(alive_in_handler, 2);
  EXPECT_EQ(alive, 1);
  loop_owner_.reset();
  EXPECT_EQ(alive, 0);
}

TEST_F(EventLoopTest, EventOfAnOldDescriptorDoesNotReachANewOneOfTheSameNumber) {
  Pipe first;
  Pipe second;
  first.Fill();
  second.Fill();
  Pipe quiet;
  int stale_calls = 0;
  const auto watch = [&](Pipe& mine, Pipe& other) {
    return loop_.WatchReadable(mine.reader.get(), [&, &mine = mine, &other = other] {
      const int number = other.reader.get();
      loop_.Unwatch(number);
      ASSERT_EQ(::dup3(quiet.reader.get(), number, O_CLOEXEC), number);
      ASSERT_TRUE(loop_.WatchReadable(number, [&] { ++stale_calls; }).ok());
      loop_.Unwatch(mine.reader.get());
      loop_.CallAfter({}, [&] { loop_.Stop(); });
    });
  };
  ASSERT_TRUE(watch(first, second).ok());
  ASSERT_TRUE(watch(second, first).ok());
  loop_.Run();
  EXPECT_EQ(stale_calls, 0);
}

TEST_F(EventLoopTest, HandlerMayAddHandlers) {
  const Pipe first;
  const Pipe second;
  first.Fill();
  second.Fill();
  ASSERT_TRUE(loop_
                  .WatchReadable(
                      first.reader.get(),
                      [&] {
                        first.Empty();
                        ASSERT_TRUE(
                            loop_.WatchReadable(second.reader.get(), [&] { loop_.Stop(); }).ok());
                      })
                  .ok());
  loop_.Run();
}

TEST_F(EventLoopTest, UnwatchOfAnUnknownDescriptorIsHarmless) {
  loop_.Unwatch(12345);
  loop_.Stop();
  loop_.Run();
}

TEST_F(EventLoopTest, TimersFireInOrderAndOnce) {
  std::vector<int> fired;
  loop_.CallAfter(milliseconds(3), [&] {
    fired.push_back(3);
    loop_.Stop();
  });
  loop_.CallAfter(milliseconds(1), [&] { fired.push_back(1); });
  loop_.CallAfter(milliseconds(2), [&] { fired.push_back(2); });
  loop_.CallAfter(milliseconds(-5), [&] { fired.push_back(0); });
  const auto start = EventLoop::Clock::now();
  loop_.Run();
  EXPECT_GE(EventLoop::Clock::now() - start, milliseconds(2));
  EXPECT_THAT(fired, ElementsAre(0, 1, 2, 3));
}

TEST_F(EventLoopTest, CancelledTimerDoesNotFire) {
  bool fired = false;
  const auto cancelled = loop_.CallAfter(milliseconds(1), [&] { fired = true; });
  EventLoop::TimerId last{};
  last = loop_.CallAfter(milliseconds(2), [&] {
    loop_.Cancel(last);  // has fired already: harmless
    loop_.Stop();
  });
  loop_.Cancel(cancelled);
  loop_.Cancel(cancelled);
  loop_.Run();
  EXPECT_FALSE(fired);
}

TEST_F(EventLoopTest, TimerCancelledByAnotherOneThatIsDueTooDoesNotFireAndIsFreedAfterwards) {
  int alive = 0;
  int alive_in_handler = 0;
  bool fired = false;
  EventLoop::TimerId second{};
  loop_.CallAfter({}, [&] {
    loop_.Cancel(second);
    alive_in_handler = alive;
    loop_.Stop();
  });
  second = loop_.CallAfter({}, [&, counted = Counted(alive)] { fired = true; });
  loop_.Run();
  EXPECT_FALSE(fired);
  EXPECT_EQ(alive_in_handler, 1);
  EXPECT_EQ(alive, 0);
}

TEST_F(EventLoopTest, TimerThatAlwaysSetsItselfAgainStarvesNobody) {
  std::function<void()> again = [&] { loop_.CallAfter({}, again); };
  again();
  const Pipe pipe;
  pipe.Fill();
  ASSERT_TRUE(loop_.WatchReadable(pipe.reader.get(), [&] { loop_.Stop(); }).ok());
  loop_.Run();
}

TEST_F(EventLoopTest, IdleLoopDoesNotWakeUp) {
  const auto cancelled = loop_.CallAfter(milliseconds(5), [] {});
  loop_.Cancel(cancelled);
  rusage before{};
  rusage after{};
  loop_.CallAfter({}, [&] {
    ASSERT_EQ(::getrusage(RUSAGE_THREAD, &before), 0);
    loop_.CallAfter(milliseconds(200), [&] {
      ASSERT_EQ(::getrusage(RUSAGE_THREAD, &after), 0);
      loop_.Stop();
    });
  });
  loop_.Run();
  // One sleep from the first timer to the second; the cancelled one in between must not cut it in
  // two.
  EXPECT_EQ(after.ru_nvcsw - before.ru_nvcsw, 1);
}

TEST_F(EventLoopTest, TasksRunInOrderOnTheLoopThread) {
  constexpr int kTasks = 1000;
  std::vector<int> order;
  std::thread::id ran_on;
  std::thread poster([&] {
    for (int i = 0; i < kTasks; ++i) loop_.Post([&, i] { order.push_back(i); });
    loop_.Post([&] {
      ran_on = std::this_thread::get_id();
      loop_.Stop();
    });
  });
  loop_.Run();
  poster.join();
  ASSERT_EQ(order.size(), std::size_t{kTasks});
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST_F(EventLoopTest, NothingPostedByManyThreadsIsLost) {
  constexpr int kThreads = 4;
  constexpr int kTasks = 5000;
  int count = 0;
  std::vector<std::jthread> posters;
  for (int thread = 0; thread < kThreads; ++thread) {
    posters.emplace_back([&] {
      for (int i = 0; i < kTasks; ++i) {
        loop_.Post([&] {
          if (++count == kThreads * kTasks) loop_.Stop();
        });
      }
    });
  }
  loop_.Run();
  EXPECT_EQ(count, kThreads * kTasks);
}

TEST_F(EventLoopTest, DoRunsOnTheCallerWhileTheLoopSleeps) {
  std::thread caller([&] {
    bool ran_here = false;
    const auto deadline = EventLoop::Clock::now() + std::chrono::seconds(10);
    // The loop may be busy, then the task is posted; it comes to rest in between.
    while (!ran_here && EventLoop::Clock::now() < deadline) {
      std::promise<std::thread::id> ran_on;
      loop_.Do([&] { ran_on.set_value(std::this_thread::get_id()); });
      ran_here = ran_on.get_future().get() == std::this_thread::get_id();
    }
    EXPECT_TRUE(ran_here) << "for 10 s the loop never slept";
    loop_.Stop();
  });
  loop_.Run();
  caller.join();
}

TEST_F(EventLoopTest, WhatIsDoneOnTheCallerMaySetTimersAndWatches) {
  const Pipe pipe;
  std::thread caller([&] {
    for (int i = 0; i < 100; ++i) loop_.Do([] {});  // some of them find the loop asleep
    loop_.Do([&] {
      EXPECT_EQ(loop_.WatchReadable(pipe.reader.get(), [&] { loop_.Stop(); }), absl::OkStatus());
      loop_.CallAfter(milliseconds(1), [&] { pipe.Fill(); });
    });
  });
  loop_.Run();
  caller.join();
  loop_.Unwatch(pipe.reader.get());
}

TEST_F(EventLoopTest, TurnsOfManyThreadsNeverOverlap) {
  constexpr int kThreads = 4;
  constexpr int kTasks = 5000;
  int inside = 0;
  int overlaps = 0;
  int count = 0;
  const auto turn = [&] {
    if (++inside != 1) ++overlaps;
    --inside;
  };
  std::function<void()> tick = [&] {
    turn();
    loop_.CallAfter({}, tick);
  };
  loop_.CallAfter({}, tick);
  std::vector<std::jthread> callers;
  for (int thread = 0; thread < kThreads; ++thread) {
    callers.emplace_back([&] {
      for (int i = 0; i < kTasks; ++i) {
        loop_.Do([&] {
          turn();
          if (++count == kThreads * kTasks) loop_.Stop();
        });
      }
    });
  }
  loop_.Run();
  EXPECT_EQ(count, kThreads * kTasks);
  EXPECT_EQ(overlaps, 0);
}

TEST_F(EventLoopTest, DoComesAfterWhatItsCallerPosted) {
  constexpr int kRounds = 2000;
  std::vector<int> order;
  std::thread caller([&] {
    for (int i = 0; i < kRounds; i += 2) {
      loop_.Post([&, i] { order.push_back(i); });
      loop_.Do([&, i] { order.push_back(i + 1); });
    }
    loop_.Stop();
  });
  loop_.Run();
  caller.join();
  ASSERT_EQ(order.size(), std::size_t{kRounds});
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(EventLoopTest, TaskMayPost) {
  loop_.Post([&] { loop_.Post([&] { loop_.Stop(); }); });
  loop_.Run();
}

TEST_F(EventLoopTest, TasksBeforeStopRunAndLaterOnesAreFreedWithTheLoop) {
  int alive = 0;
  std::vector<int> ran;
  loop_.Post([&, counted = Counted(alive)] { ran.push_back(1); });
  loop_.Stop();
  loop_.Post([&, counted = Counted(alive)] { ran.push_back(2); });
  loop_.Run();
  EXPECT_THAT(ran, ElementsAre(1));
  EXPECT_EQ(alive, 1);
  loop_owner_.reset();
  EXPECT_EQ(alive, 0);
}

TEST_F(EventLoopTest, WhatHandlersOwnMayUseTheLoopWhileItIsDestroyed) {
  struct Watching {
    EventLoop& loop;
    int fd;
    EventLoop::TimerId timer;
    ~Watching() {
      loop.Unwatch(fd);
      loop.Cancel(timer);
    }
  };
  const Pipe pipe;
  std::shared_ptr<Watching> owned(
      new Watching{loop_, pipe.reader.get(), loop_.CallAfter(hours(1), [] {})});
  std::weak_ptr<Watching> seen = owned;
  ASSERT_TRUE(loop_.WatchReadable(pipe.reader.get(), [owned] {}).ok());
  loop_.Post([owned = std::move(owned)] {});
  loop_owner_.reset();
  EXPECT_TRUE(seen.expired());
}

}  // namespace
}  // namespace dp::os
