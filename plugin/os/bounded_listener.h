// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"
#include "plugin/os/event_loop.h"
#include "plugin/os/unix_listener.h"

namespace dp::os {

// A UnixListener for clients that nobody vouches for: a few connections exist at a time, and the
// others wait in the kernel's queue. A connection may stay as long as it likes, unless others wait.
// Belongs to the loop; the loop must outlive it.
class BoundedListener {
 public:
  struct Bounds {
    std::size_t connections = 16;
    std::chrono::milliseconds welcome{10'000};  // while others wait
  };

  // `gid` may connect, too, unless it is -1. Errors as UnixListener::Create(), or by errno; each
  // names the path.
  static absl::StatusOr<std::unique_ptr<BoundedListener>> Create(EventLoop& loop,
                                                                 const std::string& path,
                                                                 std::int64_t gid, Bounds bounds,
                                                                 UnixListener::Handler handler);
  BoundedListener(const BoundedListener&) = delete;
  BoundedListener& operator=(const BoundedListener&) = delete;
  // Stops listening and removes the socket, unless another one has taken its path. Connections
  // stay.
  ~BoundedListener();

 private:
  // A second descriptor of a connection: whoever got the first one does not say when it has ended.
  struct Guest {
    base::UniqueFd socket;
    EventLoop::Clock::time_point since;
  };

  BoundedListener(EventLoop& loop, Bounds bounds, UnixListener::Handler handler);
  void OnConnection(base::UniqueFd connection);
  void ForgetWhoHasLeft();
  void MakeRoom();

  EventLoop& loop_;
  const Bounds bounds_;
  const UnixListener::Handler handler_;
  std::unique_ptr<UnixListener> listener_;
  std::list<Guest> guests_;  // the oldest first
  std::optional<EventLoop::TimerId> look_;
};

}  // namespace dp::os
