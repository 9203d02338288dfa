// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/signal_fd.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/os/syscall.h"

namespace dp::os {

absl::StatusOr<std::unique_ptr<SignalFd>> SignalFd::Create(EventLoop& loop,
                                                           std::initializer_list<int> signals,
                                                           Handler handler) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0)
    return ErrnoError(error, "block signals");
  base::UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoError(errno, "create a signalfd");

  RETURN_IF_ERROR(loop.WatchReadable(fd.get(), [fd = fd.get(), handler = std::move(handler)] {
    signalfd_siginfo info;
    const ssize_t size = RetryOnEintr([&] { return ::read(fd, &info, sizeof(info)); });
    if (size == sizeof(info)) handler(static_cast<int>(info.ssi_signo));
  }));
  return std::unique_ptr<SignalFd>(new SignalFd(loop, std::move(fd)));
}

SignalFd::SignalFd(EventLoop& loop, base::UniqueFd signals)
    : loop_(loop), signals_(std::move(signals)) {}

SignalFd::~SignalFd() { loop_.Unwatch(signals_.get()); }

}  // namespace dp::os
