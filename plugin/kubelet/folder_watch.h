// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "plugin/os/event_loop.h"
#include "plugin/os/inotify_watcher.h"

namespace dp::kubelet {

// Watches the folder in which the kubelet and its plugins have their sockets.
//
// By inotify; where that is refused (a host has a limited number of instances) or the folder itself
// goes away, by looking every few seconds until inotify works. Loop thread.
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

  // Whether a change is only seen at the next poll.
  [[nodiscard]] bool polling() const { return poll_.has_value(); }

 private:
  void Watch();
  void SchedulePoll();
  void Poll();
  void OnChanges(std::span<const os::DirectoryChange> changes);

  os::EventLoop& loop_;
  const std::string folder_;
  const Changed changed_;
  std::unique_ptr<os::InotifyWatcher> watcher_;
  std::optional<os::EventLoop::TimerId> poll_;
  // When the socket was made; empty: there is none. Compared while polling.
  std::optional<std::filesystem::file_time_type> kubelet_socket_time_;
};

}  // namespace dp::kubelet
