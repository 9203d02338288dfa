// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "plugin/os/event_loop.h"

namespace dp::fakes {

// An event loop that runs, on a thread of its own, for tests that look at it from outside.
class LoopThread {
 public:
  LoopThread() : loop_(os::EventLoop::Create().value()), thread_([this] { loop_->Run(); }) {}
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;
  ~LoopThread() { Stop(); }

  [[nodiscard]] os::EventLoop& loop() { return *loop_; }

  // Runs `task` on the loop thread and returns when it is done.
  void Do(const std::function<void()>& task) {
    std::promise<void> done;
    loop_->Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  // The loop does not run any more when it returns; what belongs to it may then be destroyed.
  void Stop() {
    if (!thread_.joinable()) return;
    loop_->Stop();
    thread_.join();
  }

 private:
  std::unique_ptr<os::EventLoop> loop_;
  std::thread thread_;
};

}  // namespace dp::fakes
