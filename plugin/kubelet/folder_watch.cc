// SPDX-License-Identifier: Apache-2.0
#include "plugin/kubelet/folder_watch.h"

#include <utility>

#include "plugin/base/log.h"

namespace dp::kubelet {

FolderWatch::FolderWatch(os::EventLoop& loop, std::string folder, Changed changed)
    : loop_(loop), folder_(std::move(folder)), changed_(std::move(changed)) {
  Watch();
  kubelet_socket_ = FindKubeletSocket();
}

FolderWatch::~FolderWatch() {
  if (poll_) loop_.Cancel(*poll_);
}

std::optional<os::FileId> FolderWatch::FindKubeletSocket() const {
  return os::FindFile(folder_ + "/" + kKubeletSocket);
}

void FolderWatch::Watch() {
  const absl::Status status = [this] {
    if (watcher_) return watcher_->Resume();
    auto watcher = os::InotifyWatcher::Create(
        loop_, folder_,
        [this](std::span<const os::DirectoryChange> changes) { OnChanges(changes); });
    if (!watcher.ok()) return watcher.status();
    watcher_ = *std::move(watcher);
    return absl::OkStatus();
  }();
  if (status.ok()) {
    if (std::exchange(poll_, std::nullopt)) log::Info("folder watched", {{"folder", folder_}});
    return;
  }
  watcher_.reset();
  if (!poll_) {
    log::Warning(
        "folder polled",
        {{"reason", base::Reason::kInotifyRefused}, {"folder", folder_}, {"error", status}});
  }
  SchedulePoll();
}

void FolderWatch::SchedulePoll() {
  poll_ = loop_.CallAfter(kPollInterval, [this] { Look(); });
}

void FolderWatch::Look() {
  // First the watch, then the look: whatever happens in between is seen by one of them, or both.
  Watch();
  const auto socket = FindKubeletSocket();
  const bool started = socket && socket != kubelet_socket_;
  kubelet_socket_ = socket;
  if (started) reported_ = socket;
  changed_(started);
}

void FolderWatch::Pause() {
  if (std::exchange(paused_, true)) return;
  if (poll_) loop_.Cancel(*std::exchange(poll_, std::nullopt));
  if (watcher_) watcher_->Pause();
}

void FolderWatch::Resume() {
  if (std::exchange(paused_, false)) Look();
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
  kubelet_socket_ = FindKubeletSocket();
  if (kubelet_socket_ && kubelet_socket_ == std::exchange(reported_, std::nullopt)) started = false;
  // What came just before the pause is seen by the look after it, the end of the folder too.
  if (ended && !paused_) {
    log::Warning("folder polled", {{"reason", base::Reason::kFolderGone}, {"folder", folder_}});
    watcher_.reset();
    SchedulePoll();
  }
  changed_(started);
}

}  // namespace dp::kubelet
