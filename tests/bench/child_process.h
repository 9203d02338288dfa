// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"

namespace dp::bench {

using Clock = std::chrono::steady_clock;

// The program under measurement, and what the kernel knows about it. One thread.
class ChildProcess {
 public:
  // Of the process, in KiB: /proc/PID/smaps_rollup (Documentation/filesystems/proc.rst).
  struct Memory {
    std::int64_t resident = 0;
    std::int64_t anonymous = 0;
  };

  // Starts `command` (program and arguments) with its standard error in the file `log_path`.
  // Internal: it cannot be started.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& command, const std::string& log_path);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  // Kills it if it still runs.
  ~ChildProcess();

  // Right before the program was executed.
  [[nodiscard]] Clock::time_point started() const { return started_; }
  // Internal: /proc does not say.
  absl::StatusOr<Memory> ReadMemory() const;
  // How often its threads have gone to sleep by themselves, and so been woken: voluntary context
  // switches. A thread that has ended takes its count along. Internal: /proc does not say.
  absl::StatusOr<std::int64_t> CountWakeups() const;
  // That all its threads have used, those that have ended too. Internal: the kernel does not say.
  absl::StatusOr<std::chrono::nanoseconds> ReadCpuTime() const;
  // Waits that long. Internal: the program ended meanwhile; what it said.
  absl::Status KeepsRunningFor(std::chrono::milliseconds time) const;
  // Sends SIGTERM and waits for the end. Returns how long it took. Internal: it does not end, or
  // not with exit code 0; what it said.
  absl::StatusOr<Clock::duration> Terminate();

 private:
  explicit ChildProcess(std::string log_path) : log_path_(std::move(log_path)) {}
  [[nodiscard]] bool EndsWithin(std::chrono::milliseconds time) const;

  const std::string log_path_;
  Clock::time_point started_;
  pid_t pid_ = -1;  // -1: not started, or it has ended and was waited for
  base::UniqueFd pidfd_;
};

}  // namespace dp::bench
