// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

namespace dp::bench {
namespace {

constexpr std::chrono::seconds kExitDeadline{10};

// The number after `key` in a file of lines "Key:   number unit"; -1 if there is none.
std::int64_t ReadNumber(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    std::int64_t number = 0;
    if (word == key && file >> number) return number;
  }
  return -1;
}

std::string ReadAll(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& command, const std::string& log_path) {
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_path.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0644);
  std::unique_ptr<ChildProcess> child(new ChildProcess(log_path));
  child->started_ = Clock::now();
  const int error =
      ::posix_spawn(&child->pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::InternalError(
        fmt::format("cannot start {}: {}", command[0], std::strerror(error)));
  }
  child->pidfd_.Reset(static_cast<int>(::syscall(SYS_pidfd_open, child->pid_, 0)));
  if (!child->pidfd_.valid())
    return absl::InternalError(fmt::format("pidfd_open: {}", std::strerror(errno)));
  return child;
}

ChildProcess::~ChildProcess() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

absl::StatusOr<ChildProcess::Memory> ChildProcess::ReadMemory() const {
  const std::string path = fmt::format("/proc/{}/smaps_rollup", pid_);
  const Memory memory{.resident = ReadNumber(path, "Rss:"),
                      .anonymous = ReadNumber(path, "Anonymous:")};
  if (memory.resident < 0 || memory.anonymous < 0)
    return absl::InternalError("cannot read " + path);
  return memory;
}

absl::StatusOr<std::int64_t> ChildProcess::CountWakeups() const {
  std::int64_t count = 0;
  std::error_code error;
  const std::string threads = fmt::format("/proc/{}/task", pid_);
  for (const auto& thread : std::filesystem::directory_iterator(threads, error)) {
    const std::int64_t switches =
        ReadNumber(thread.path().string() + "/status", "voluntary_ctxt_switches:");
    // A thread may end while it is being read; then it has no count to add.
    if (switches > 0) count += switches;
  }
  if (error) {
    return absl::InternalError(fmt::format("cannot read {}: {}", threads, error.message()));
  }
  return count;
}

absl::StatusOr<std::chrono::nanoseconds> ChildProcess::ReadCpuTime() const {
  clockid_t clock{};
  timespec time{};
  if (::clock_getcpuclockid(pid_, &clock) != 0 || ::clock_gettime(clock, &time) != 0)
    return absl::InternalError(fmt::format("cannot read the processor time of process {}", pid_));
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

absl::Status ChildProcess::KeepsRunningFor(std::chrono::milliseconds time) const {
  if (!EndsWithin(time)) return absl::OkStatus();
  return absl::InternalError("the program ended by itself; it said:\n" + ReadAll(log_path_));
}

absl::StatusOr<Clock::duration> ChildProcess::Terminate() {
  const auto begin = Clock::now();
  ::kill(pid_, SIGTERM);
  if (!EndsWithin(kExitDeadline)) {
    return absl::InternalError(
        fmt::format("the program did not end within {} s of SIGTERM; it said:\n{}",
                    kExitDeadline.count(), ReadAll(log_path_)));
  }
  const auto took = Clock::now() - begin;

  int status = 0;
  ::waitpid(std::exchange(pid_, -1), &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return absl::InternalError(fmt::format("the program ended with wait status {:#x}; it said:\n{}",
                                           status, ReadAll(log_path_)));
  }
  return took;
}

bool ChildProcess::EndsWithin(std::chrono::milliseconds time) const {
  pollfd ended{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&ended, 1, static_cast<int>(time.count())) != 0;
}

}  // namespace dp::bench
