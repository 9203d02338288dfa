// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"
#include "plugin/os/event_loop.h"

namespace dp::os {

// The longest path of a Unix socket, in bytes (unix(7): sun_path has 108, one of them the final
// zero).
inline constexpr std::size_t kMaxSocketPath = 107;

// A listening SOCK_STREAM Unix socket at a path. Belongs to the loop; the loop must outlive
// it.
class UnixListener {
 public:
  // Gets each connection: nonblocking, close-on-exec. May destroy the listener.
  using Handler = std::function<void(base::UniqueFd connection)>;

  // Binds and listens. A socket that is there already is replaced: a crashed predecessor leaves
  // one, and only one daemon may serve a path. The node has `mode` (for example 0600) from the
  // moment a client can connect. InvalidArgument: path longer than kMaxSocketPath.
  // FailedPrecondition: something that is not a socket is there; it is left alone. Else by errno.
  // Each names the path.
  static absl::StatusOr<std::unique_ptr<UnixListener>> Create(EventLoop& loop, std::string path,
                                                              mode_t mode, Handler handler);
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;
  // Stops listening and removes the socket, unless another one has taken its path.
  ~UnixListener();

  [[nodiscard]] const std::string& path() const { return path_; }
  // Leaves new connections in the kernel's queue, until Resume().
  void Pause();
  absl::Status Resume();
  // Whether the path still leads to this socket. A kubelet that restarts removes every socket of
  // its folder.
  [[nodiscard]] bool InPlace() const;

 private:
  // The node at the path; tells our socket from a successor's.
  struct Node {
    dev_t device = 0;
    ino_t inode = 0;
    friend bool operator==(const Node&, const Node&) = default;
  };
  static absl::StatusOr<Node> Bind(int fd, const std::string& path, mode_t mode);
  UnixListener(EventLoop& loop, std::string path, base::UniqueFd socket, Node node,
               Handler handler);
  absl::Status StartAccepting();
  void AcceptOne(const Handler& handler);

  EventLoop& loop_;
  std::string path_;
  base::UniqueFd socket_;
  Node node_;
  std::shared_ptr<const Handler>
      handler_;  // shared with the loop, so that it may destroy the listener and still return
  std::optional<EventLoop::TimerId> pause_;
  bool short_of_descriptors_ = false;  // said once, until a connection is accepted again
};

}  // namespace dp::os
