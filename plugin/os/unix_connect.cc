// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/unix_connect.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "plugin/os/syscall.h"
#include "plugin/os/unix_listener.h"

namespace dp::os {

absl::StatusOr<base::UniqueFd> ConnectUnix(const std::string& path) {
  if (path.empty() || path.size() > kMaxSocketPath) {
    return absl::InvalidArgumentError(
        fmt::format("cannot connect to {}: a socket path has 1 to {} bytes, this one {}", path,
                    kMaxSocketPath, path.size()));
  }
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return ErrnoError(errno, "create a Unix socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int result = RetryOnEintr([&] {
    return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  });
  if (result < 0) return ErrnoError(errno, "connect to " + path);
  return socket;
}

}  // namespace dp::os
