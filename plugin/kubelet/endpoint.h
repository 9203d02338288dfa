// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"
#include "plugin/kubelet/registration.h"
#include "plugin/os/event_loop.h"
#include "plugin/os/unix_listener.h"

namespace dp::kubelet {

// The name of the socket of a resource: short, since a socket path has 107 bytes at most, and
// always the same, so that a new daemon replaces what a crashed one left.
std::string SocketName(std::string_view resource);

// Where the kubelet finds one resource: a listening socket in its folder, and the registration of
// it. Loop thread.
class Endpoint {
 public:
  struct Events {
    std::function<void(base::UniqueFd connection)> connected;
    std::function<void()> registered;
  };
  // How long the kubelet may leave a registered resource unwatched before it is registered again.
  static constexpr std::chrono::seconds kUnwatchedGrace{1};

  // Listens. Errors as os::UnixListener::Create(). `loop` outlives the endpoint.
  static absl::StatusOr<std::unique_ptr<Endpoint>> Create(os::EventLoop& loop,
                                                          const std::string& folder,
                                                          const std::string& resource,
                                                          Events events);
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;
  // After Stop(), when the loop does not run any more.
  ~Endpoint();

  // Registers.
  void Start() { registration_.Start(); }
  // The folder may have changed: makes the socket again if it is gone, and registers if the kubelet
  // has started.
  void OnFolderChange(bool kubelet_started);
  // Whether the kubelet has a ListAndWatch stream open. Without one it does not know the resource.
  void SetWatched(bool watched);
  [[nodiscard]] bool watched() const { return watched_; }
  [[nodiscard]] bool registering() const { return registration_.active(); }

  // Removes the socket and gives up registering. Calls `stopped` when nothing is under way any
  // more, possibly at once.
  void Stop(std::function<void()> stopped);

 private:
  Endpoint(os::EventLoop& loop, const std::string& folder, const std::string& resource,
           Events events);
  absl::Status Listen();
  void ListenAgain();
  void ExpectWatch();

  os::EventLoop& loop_;
  const std::string path_;
  const std::string resource_;
  const Events events_;
  std::unique_ptr<os::UnixListener> listener_;
  Registration registration_;
  bool watched_ = false;
  bool stopped_ = false;
  bool superseded_ = false;   // another process has taken the path
  std::string last_failure_;  // of listening again; what was logged last
  std::optional<os::EventLoop::TimerId> unwatched_;
};

}  // namespace dp::kubelet
