// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/reason.h"
#include "plugin/base/unique_fd.h"
#include "plugin/kubelet/registration.h"
#include "plugin/os/event_loop.h"
#include "plugin/os/unix_listener.h"

namespace dp::kubelet {

// What the names of all sockets of a resource begin with: short, since a socket path has 107 bytes
// at most.
std::string SocketPrefix(std::string_view resource);

// Where the kubelet finds one resource: a listening socket in one of its folders, and the
// registration of it. Loop thread.
class Endpoint {
 public:
  // How the kubelet gets to know the socket. docs/adr/2026-11-24-one-way-of-registration.md
  enum class Way {
    kKubeletSocket,    // it is told through its own socket, in the same folder
    kPluginsRegistry,  // its plugin watcher sees each new socket in the folder, and asks there
  };
  struct Events {
    std::function<void(base::UniqueFd connection)> connected;
    std::function<void()> registered;
  };
  // How long the kubelet may leave a registered resource unwatched before it is registered again.
  static constexpr std::chrono::milliseconds kUnwatchedGrace{1000};
  // The same after it has ended the stream. A kubelet of 1.35 or older ends that of a new plugin
  // when the old one goes, and takes the resource for stopped in its next few instructions; a
  // registration before that would be stopped as well.
  static constexpr std::chrono::milliseconds kCutGrace{50};
  // A kubelet that restarts has no socket for a moment; for longer it is worth a warning.
  static constexpr std::chrono::milliseconds kSocketPatience{10'000};
  // Between two looks at a younger process.
  static constexpr std::chrono::milliseconds kSupersededPause{5000};
  // Between two sockets in the plugins registry when the first is refused; doubled each time.
  static constexpr std::chrono::milliseconds kFirstPause{1000};
  static constexpr std::chrono::milliseconds kLongestPause{120'000};

  // Listens in `folder`, and removes the sockets that dead processes left of the resource. Errors
  // as os::UnixListener::Create(). `loop` outlives the endpoint.
  static absl::StatusOr<std::unique_ptr<Endpoint>> Create(os::EventLoop& loop, Way way,
                                                          const std::string& folder,
                                                          const std::string& resource,
                                                          Events events);
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;
  // After Stop(), when the loop does not run any more.
  ~Endpoint();

  // Registers. In the plugins registry the socket says it all.
  void Start();
  // The folder may have changed: registers if the kubelet has started, or if it can no longer find
  // a socket that it has to find.
  void OnFolderChange(bool kubelet_started);
  // Whether the kubelet has a ListAndWatch stream open. Without one it does not know the resource.
  void SetWatched(bool watched);
  // What the plugin watcher has made of the socket. Not Ok: its own words.
  void OnAnnounced(const absl::Status& status);
  [[nodiscard]] bool watched() const { return watched_; }
  // Why the kubelet does not know the resource; empty: it does, or nothing has failed yet.
  [[nodiscard]] std::string failure() const;
  [[nodiscard]] bool registering() const { return registration_.active(); }

  // Removes the socket and gives up registering. Calls `stopped` when nothing is under way any
  // more, possibly at once.
  void Stop(std::function<void()> stopped);

 private:
  Endpoint(os::EventLoop& loop, Way way, const std::string& folder, const std::string& resource,
           Events events);
  absl::Status Listen();
  absl::StatusOr<std::string> UnusedSocket();
  void Announce();
  void ExpectWatch(std::chrono::milliseconds grace);
  void OnFailure(base::Reason reason, const absl::Status& status);
  [[nodiscard]] std::vector<std::string> Sockets() const;
  [[nodiscard]] bool IsSuperseded();
  void RemoveStaleSockets() const;

  os::EventLoop& loop_;
  const Way way_;
  const std::string folder_;
  const std::string resource_;
  const std::string prefix_;  // of all sockets of the resource
  const std::string born_;    // orders the processes that have some
  const Events events_;
  std::uint64_t sockets_ = 0;  // that were made
  std::unique_ptr<os::UnixListener> listener_;
  bool used_ = false;  // a kubelet may have heard of the socket
  Registration registration_;
  bool watched_ = false;
  bool stopped_ = false;
  bool superseded_ = false;   // a younger process serves the resource
  std::string last_failure_;  // in the plugins registry; what was logged last
  std::chrono::milliseconds pause_ = kFirstPause;
  std::optional<os::EventLoop::TimerId> unwatched_;
};

}  // namespace dp::kubelet
