// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "plugin/os/event_loop.h"
#include "plugin/os/file.h"
#include "plugin/os/inotify_watcher.h"

namespace dp::kubelet {

// Watches the folder in which the kubelet and its plugins have their sockets.
//
// By inotify; where that is refused (a host has a limited number of instances) or the folder itself
// goes away, by looking every few seconds until inotify works. Loop thread.
//
// Can be paused: a kubelet that is connected has not restarted.
class FolderWatch {
 public:
  // The name of the kubelet's own socket in the folder.
  static constexpr char kKubeletSocket[] = "kubelet.sock";
  static constexpr std::chrono::seconds kPollInterval{2};

  // Something in the folder may have changed. `kubelet_started`: its socket is a new one, so
  // whoever is behind it knows no plugin.
  using Changed = std::function<void(bool kubelet_started)>;

  // `loop` outlives the watch.
  FolderWatch(os::EventLoop& loop, std::string folder, Changed changed);
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;
  ~FolderWatch();

  // Looks at nothing until Resume(), which reports what has changed meanwhile. Both are harmless if
  // called twice. A daemon that ends while paused ends at once (os::InotifyWatcher).
  void Pause();
  void Resume();

  // Whether a change is only seen at the next poll.
  [[nodiscard]] bool polling() const { return poll_.has_value(); }

 private:
  [[nodiscard]] std::optional<os::FileId> FindKubeletSocket() const;
  void Watch();
  void SchedulePoll();
  void Look();
  void OnChanges(std::span<const os::DirectoryChange> changes);

  os::EventLoop& loop_;
  const std::string folder_;
  const Changed changed_;
  std::unique_ptr<os::InotifyWatcher> watcher_;
  std::optional<os::EventLoop::TimerId> poll_;
  bool paused_ = false;
  std::optional<os::FileId> kubelet_socket_;  // when last seen; empty: there was none
  // What Look() has reported and the watch may report again, since it began before.
  std::optional<os::FileId> reported_;
};

}  // namespace dp::kubelet
