// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>

#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"
#include "plugin/os/event_loop.h"

namespace dp::os {

// Signals as events of the loop (signalfd(2)): a handler is ordinary code on the loop thread, not
// an interruption.
//
// Create() blocks the signals in the calling thread; threads started later inherit that. So create
// it before any other thread starts, or a signal may still end the process. The signals stay
// blocked when the object is gone.
class SignalFd {
 public:
  using Handler = std::function<void(int signal)>;

  static absl::StatusOr<std::unique_ptr<SignalFd>> Create(EventLoop& loop,
                                                          std::initializer_list<int> signals,
                                                          Handler handler);
  SignalFd(const SignalFd&) = delete;
  SignalFd& operator=(const SignalFd&) = delete;
  ~SignalFd();

 private:
  SignalFd(EventLoop& loop, base::UniqueFd signals);

  EventLoop& loop_;
  base::UniqueFd signals_;
};

}  // namespace dp::os
