// SPDX-License-Identifier: Apache-2.0
#include "tests/reliability/changes.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace dp::reliability {
namespace {

constexpr std::chrono::seconds kPatience{10};
constexpr std::uint32_t kMask = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_TO;

void Check(bool done, const std::string& what) {
  if (done) return;
  std::perror(("Changes: " + what).c_str());
  std::abort();
}

}  // namespace

Changes::Changes() : inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  Check(inotify_.valid(), "inotify_init1");
}

void Changes::Watch(const std::string& path) {
  Check(::inotify_add_watch(inotify_.get(), path.c_str(), kMask) >= 0, "watch " + path);
}

bool Changes::WaitUntil(const std::function<bool()>& is_so) const {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    // What comes from here on is seen by the next poll(2).
    char events[4096];
    while (::read(inotify_.get(), events, sizeof(events)) > 0) {
    }
    if (is_so()) return true;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd changed{.fd = inotify_.get(), .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || ::poll(&changed, 1, static_cast<int>(left.count())) == 0) return false;
  }
}

}  // namespace dp::reliability
