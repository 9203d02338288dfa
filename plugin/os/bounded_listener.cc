// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/bounded_listener.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/os/syscall.h"

namespace dp::os {
namespace {

constexpr std::chrono::milliseconds kPause{20};  // between two looks for room

constexpr mode_t kRootOnly = 0600;
constexpr mode_t kGroupToo = 0660;

}  // namespace

BoundedListener::BoundedListener(EventLoop& loop, Bounds bounds, UnixListener::Handler handler)
    : loop_(loop), bounds_(bounds), handler_(std::move(handler)) {}

BoundedListener::~BoundedListener() {
  if (look_) loop_.Cancel(*look_);
}

absl::StatusOr<std::unique_ptr<BoundedListener>> BoundedListener::Create(
    EventLoop& loop, const std::string& path, std::int64_t gid, Bounds bounds,
    UnixListener::Handler handler) {
  std::unique_ptr<BoundedListener> bounded(new BoundedListener(loop, bounds, std::move(handler)));
  ASSIGN_OR_RETURN(bounded->listener_,
                   UnixListener::Create(loop, path, kRootOnly,
                                        [bounded = bounded.get()](base::UniqueFd connection) {
                                          bounded->OnConnection(std::move(connection));
                                        }));
  if (gid >= 0 && (::lchown(path.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(gid)) < 0 ||
                   ::chmod(path.c_str(), kGroupToo) < 0)) {
    return ErrnoError(errno, fmt::format("give {} to group {}", path, gid));
  }
  return bounded;
}

void BoundedListener::OnConnection(base::UniqueFd connection) {
  base::UniqueFd second(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
  if (!second.valid()) return;  // none is left for it
  ForgetWhoHasLeft();
  guests_.push_back({.socket = std::move(second), .since = EventLoop::Clock::now()});
  handler_(std::move(connection));
  if (guests_.size() < bounds_.connections) return;
  listener_->Pause();
  MakeRoom();
}

// Who closes a socket of which there is another descriptor must have shut it down before, as gRPC
// does; the other end's going shows as well.
void BoundedListener::ForgetWhoHasLeft() {
  std::erase_if(guests_, [](const Guest& guest) {
    pollfd state{.fd = guest.socket.get(), .events = 0, .revents = 0};
    return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR)) != 0;
  });
}

void BoundedListener::MakeRoom() {
  look_.reset();
  ForgetWhoHasLeft();
  if (guests_.size() >= bounds_.connections &&
      EventLoop::Clock::now() - guests_.front().since > bounds_.welcome) {
    ::shutdown(guests_.front().socket.get(), SHUT_RDWR);
    guests_.pop_front();
  }
  if (guests_.size() < bounds_.connections && listener_->Resume().ok()) return;
  look_ = loop_.CallAfter(kPause, [this] { MakeRoom(); });
}

}  // namespace dp::os
