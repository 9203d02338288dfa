// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/unix_listener.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/os/syscall.h"

namespace dp::os {
namespace {

// How long to leave clients in the kernel's queue when no descriptor is left for them. Without a
// pause the loop would spin: the socket stays readable.
constexpr std::chrono::milliseconds kPause{100};

absl::Status RemoveStaleSocket(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) < 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoError(errno, "look at " + path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        fmt::format("cannot listen on {}: something that is not a socket is there already", path));
  }
  if (::unlink(path.c_str()) < 0 && errno != ENOENT)
    return ErrnoError(errno, "remove the stale socket " + path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Create(EventLoop& loop,
                                                                   std::string path, mode_t mode,
                                                                   Handler handler) {
  if (path.empty() || path.size() > kMaxSocketPath) {
    return absl::InvalidArgumentError(
        fmt::format("cannot listen on {}: a socket path has 1 to {} bytes, this one {}", path,
                    kMaxSocketPath, path.size()));
  }
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return ErrnoError(errno, "create a Unix socket");
  RETURN_IF_ERROR(RemoveStaleSocket(path));
  ASSIGN_OR_RETURN(const Node node, Bind(socket.get(), path, mode));
  std::unique_ptr<UnixListener> listener(
      new UnixListener(loop, std::move(path), std::move(socket), node, std::move(handler)));
  RETURN_IF_ERROR(listener->StartAccepting());
  return listener;
}

absl::StatusOr<UnixListener::Node> UnixListener::Bind(int fd, const std::string& path,
                                                      mode_t mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  // On Linux the node gets the mode of the unbound socket, less the umask: never wider than asked
  // for, not even for a moment.
  if (::fchmod(fd, mode) < 0) return ErrnoError(errno, "set the mode of a socket for " + path);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) {
    return ErrnoError(errno, "listen on " + path);
  }
  struct stat info {};
  absl::Status status;
  // The umask may have taken bits that were asked for.
  if (::chmod(path.c_str(), mode) < 0) {
    status = ErrnoError(errno, "set the mode of " + path);
  } else if (::lstat(path.c_str(), &info) < 0) {
    status = ErrnoError(errno, "look at " + path);
  } else if (::listen(fd, SOMAXCONN) < 0) {
    status = ErrnoError(errno, "listen on " + path);
  }
  if (!status.ok()) {
    ::unlink(path.c_str());
    return status;
  }
  return Node{.device = info.st_dev, .inode = info.st_ino};
}

UnixListener::UnixListener(EventLoop& loop, std::string path, base::UniqueFd socket, Node node,
                           Handler handler)
    : loop_(loop),
      path_(std::move(path)),
      socket_(std::move(socket)),
      node_(node),
      handler_(std::make_shared<const Handler>(std::move(handler))) {}

UnixListener::~UnixListener() {
  if (pause_) loop_.Cancel(*pause_);
  loop_.Unwatch(socket_.get());
  if (InPlace()) ::unlink(path_.c_str());
}

void UnixListener::Pause() {
  if (pause_) loop_.Cancel(*pause_);
  pause_.reset();
  loop_.Unwatch(socket_.get());
}

absl::Status UnixListener::Resume() {
  Pause();
  return StartAccepting();
}

bool UnixListener::InPlace() const {
  struct stat info {};
  return ::lstat(path_.c_str(), &info) == 0 &&
         Node{.device = info.st_dev, .inode = info.st_ino} == node_;
}

absl::Status UnixListener::StartAccepting() {
  pause_.reset();
  return loop_.WatchReadable(socket_.get(), [this, handler = handler_] { AcceptOne(*handler); });
}

// One per round of the loop; the rest of the queue keeps the socket readable. The last thing it
// does is to call the handler, which may destroy `this`.
void UnixListener::AcceptOne(const Handler& handler) {
  base::UniqueFd connection(RetryOnEintr(
      [&] { return ::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC); }));
  if (connection.valid()) {
    short_of_descriptors_ = false;
    handler(std::move(connection));
    return;
  }
  const int error = errno;
  // accept(2): the client has gone again.
  if (error == EAGAIN || error == ECONNABORTED) return;
  if (!std::exchange(short_of_descriptors_, true)) {
    log::Warning("connections wait",
                 {{"error", ErrnoError(error, "accept a connection on " + path_)}});
  }
  loop_.Unwatch(socket_.get());
  pause_ = loop_.CallAfter(kPause, [this] {
    if (const absl::Status status = StartAccepting(); !status.ok()) {
      log::Error("socket is deaf", {{"path", path_}, {"error", status}});
    }
  });
}

}  // namespace dp::os
