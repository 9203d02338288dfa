// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "plugin/os/event_loop.h"
#include "plugin/os/inotify_watcher.h"

namespace dp::config {

// Tells when a configuration file may have changed: it was written, replaced, or is part of a
// ConfigMap volume, whose files are links through "..data", which the kubelet replaces as a whole
// (kubernetes pkg/volume/util/atomic_writer.go). Loop thread.
class ConfigWatch {
 public:
  // Changes come in several steps; `changed` is called when there has been none for so long.
  static constexpr std::chrono::milliseconds kSettled{100};

  // `loop` outlives the watch. Errors as os::InotifyWatcher::Create().
  static absl::StatusOr<std::unique_ptr<ConfigWatch>> Create(os::EventLoop& loop,
                                                             const std::string& path,
                                                             std::function<void()> changed);
  ConfigWatch(const ConfigWatch&) = delete;
  ConfigWatch& operator=(const ConfigWatch&) = delete;
  ~ConfigWatch();

 private:
  ConfigWatch(os::EventLoop& loop, std::string name, std::function<void()> changed);
  void OnChanges(std::span<const os::DirectoryChange> changes);

  os::EventLoop& loop_;
  const std::string name_;  // of the file in its folder
  const std::function<void()> changed_;
  std::unique_ptr<os::InotifyWatcher> watcher_;
  std::optional<os::EventLoop::TimerId> settled_;
};

}  // namespace dp::config
