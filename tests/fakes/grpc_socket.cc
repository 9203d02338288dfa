// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/grpc_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

// The server is made once and listens by hand, as the plugin's does: a restart then costs the
// kubelet next to nothing, and what a test measures is the plugin. A duplicate of each connection
// is kept, because shutdown(2) on it ends the connection at once, as the death of a process does.

namespace dp::fakes {
namespace {

[[noreturn]] void Die(const std::string& what) {
  fmt::print(stderr, "a fake cannot {}: {}\n", what, std::strerror(errno));
  std::abort();
}

// Whether the peer has gone.
bool IsOver(int connection) {
  pollfd state{.fd = connection, .events = 0, .revents = 0};
  return ::poll(&state, 1, 0) == 1;
}

}  // namespace

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    errno = ENAMETOOLONG;
    Die("use the socket " + path);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

base::UniqueFd ConnectTo(const std::string& path) {
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = AddressOf(path);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) {
    return {};
  }
  ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) | O_NONBLOCK);
  return socket;
}

GrpcSocket::GrpcSocket(grpc::Server& server, std::string path)
    : server_(server), path_(std::move(path)) {}

GrpcSocket::~GrpcSocket() { Close(); }

GrpcSocket::Clock::time_point GrpcSocket::Open() {
  base::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = AddressOf(path_);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) {
    Die("bind " + path_);
  }
  if (::listen(listener.get(), SOMAXCONN) < 0) Die("listen on " + path_);
  const Clock::time_point now = Clock::now();
  listener_ = std::move(listener);
  acceptor_ = std::thread([this, fd = listener_.get()] { Accept(fd); });
  return now;
}

void GrpcSocket::Accept(int listener) {
  while (true) {
    base::UniqueFd connection(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    // Close() shuts the listener down, which makes accept(2) fail with EINVAL.
    if (!connection.valid()) return;
    {
      const std::lock_guard lock(mutex_);
      // A client may have a new connection for each call.
      std::erase_if(connections_,
                    [](const base::UniqueFd& former) { return IsOver(former.get()); });
      connections_.emplace_back(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
    }
    grpc::AddInsecureChannelFromFd(&server_, connection.Release());
  }
}

void GrpcSocket::Close() {
  if (!listener_.valid()) return;
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  listener_.Reset();
  const std::lock_guard lock(mutex_);
  for (const base::UniqueFd& connection : connections_) ::shutdown(connection.get(), SHUT_RDWR);
  connections_.clear();
}

}  // namespace dp::fakes
