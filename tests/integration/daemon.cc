// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace dp::integration {
namespace {

std::string ReadAll(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::abort();
}

// Whether the descriptor became readable in time.
bool WaitReadable(int fd, std::chrono::steady_clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  pollfd poll{.fd = fd, .events = POLLIN, .revents = 0};
  return left.count() > 0 && ::poll(&poll, 1, static_cast<int>(left.count())) == 1;
}

// Another plugin than that of this build; null if there is none.
const char* OtherPlugin() { return std::getenv("VFIO_DOORBELL_PLUGIN"); }

std::string Plugin() {
  const char* other = OtherPlugin();
  return other == nullptr ? DP_DAEMON : other;
}

// g++ says it by macros, clang by features.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DP_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DP_SANITIZER
#endif
#endif

}  // namespace

bool PluginKeepsWhatIsFreed() {
#ifdef DP_SANITIZER
  return OtherPlugin() == nullptr;
#else
  return false;
#endif
}

Daemon::Daemon(std::vector<std::string> arguments, const std::string& scratch,
               std::vector<std::string> launcher, const std::string& program)
    : output_path_(scratch + "/stdout"), log_path_(scratch + "/stderr") {
  std::vector<std::string>& command = launcher;
  command.push_back(program.empty() ? Plugin() : program);
  command.insert(command.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : command) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output_path_.c_str(), kFlags, 0644);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_path_.c_str(), kFlags, 0644);
  if (::posix_spawnp(&pid_, pointers.front(), &actions, nullptr, pointers.data(), environ) != 0) {
    Die("Daemon: posix_spawn");
  }
  posix_spawn_file_actions_destroy(&actions);
  pidfd_.Reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd_.valid()) Die("Daemon: pidfd_open");
}

Daemon::~Daemon() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Daemon::Signal(int signal) const { ::kill(pid_, signal); }

int Daemon::Wait() {
  if (!WaitReadable(pidfd_.get(), std::chrono::steady_clock::now() + kPatience)) return kStillRuns;
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::string Daemon::output() const { return ReadAll(output_path_); }
std::string Daemon::log() const { return ReadAll(log_path_); }

int Daemon::CountInLog(const std::string& text) const {
  const std::string whole = log();
  int count = 0;
  for (auto at = whole.find(text); at != std::string::npos; at = whole.find(text, at + 1)) ++count;
  return count;
}

bool Daemon::WaitForLog(const std::string& text, int count) const {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  const base::UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (::inotify_add_watch(inotify.get(), log_path_.c_str(), IN_MODIFY) < 0) Die("Daemon: inotify");
  while (CountInLog(text) < count) {
    char events[4096];
    if (!WaitReadable(inotify.get(), deadline)) return false;
    if (::read(inotify.get(), events, sizeof(events)) < 0) Die("Daemon: inotify");
  }
  return true;
}

}  // namespace dp::integration
