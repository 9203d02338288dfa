// SPDX-License-Identifier: Apache-2.0
#include "plugin/kubelet/folder_watch.h"

#include <system_error>
#include <utility>

#include "plugin/base/log.h"

namespace dp::kubelet {
namespace {

std::optional<std::filesystem::file_time_type> TimeOf(const std::string& path) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(path, error);
  return error ? std::nullopt : std::optional(time);
}

}  // namespace

FolderWatch::FolderWatch(os::EventLoop& loop, std::string folder, Changed changed)
    : loop_(loop), folder_(std::move(folder)), changed_(std::move(changed)) {
  Watch();
  kubelet_socket_time_ = TimeOf(folder_ + "/" + kKubeletSocket);
}

FolderWatch::~FolderWatch() {
  if (poll_) loop_.Cancel(*poll_);
}

void FolderWatch::Watch() {
  auto watcher = os::InotifyWatcher::Create(
      loop_, folder_, [this](std::span<const os::DirectoryChange> changes) { OnChanges(changes); });
  if (watcher.ok()) {
    watcher_ = *std::move(watcher);
    if (std::exchange(poll_, std::nullopt)) log::Info("folder watched", {{"folder", folder_}});
    return;
  }
  if (!poll_) {
    log::Warning("folder polled",
                 {{"reason", "inotify_refused"}, {"folder", folder_}, {"error", watcher.status()}});
  }
  SchedulePoll();
}

void FolderWatch::SchedulePoll() {
  poll_ = loop_.CallAfter(kPollInterval, [this] { Poll(); });
}

void FolderWatch::Poll() {
  // First the watch, then the look: whatever happens in between is seen by one of them.
  Watch();
  const auto time = TimeOf(folder_ + "/" + kKubeletSocket);
  const bool started = time && time != kubelet_socket_time_;
  kubelet_socket_time_ = time;
  changed_(started);
}

void FolderWatch::OnChanges(std::span<const os::DirectoryChange> changes) {
  bool started = false;
  bool ended = false;
  for (const os::DirectoryChange& change : changes) {
    using Kind = os::DirectoryChange::Kind;
    started |= change.kind == Kind::kCreated && change.name == kKubeletSocket;
    // What was lost may have been the kubelet's socket; registering once too often does no harm.
    started |= change.kind == Kind::kOverflow;
    ended |= change.kind == Kind::kEnded;
  }
  if (ended) {
    log::Warning("folder polled", {{"reason", "folder_gone"}, {"folder", folder_}});
    watcher_.reset();
    SchedulePoll();
  }
  kubelet_socket_time_ = TimeOf(folder_ + "/" + kKubeletSocket);
  changed_(started);
}

}  // namespace dp::kubelet
