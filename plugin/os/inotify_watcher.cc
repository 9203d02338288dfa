// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/inotify_watcher.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/os/syscall.h"

namespace dp::os {
namespace {

constexpr std::uint32_t kMask = IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM |
                                IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

absl::Status SetupError(int error, const std::string& directory) {
  // inotify_init1(2), inotify_add_watch(2): these three all mean that a limit of the host is
  // reached.
  if (error == EMFILE || error == ENFILE || error == ENOSPC) {
    return absl::ResourceExhaustedError(
        fmt::format("cannot watch {}: no inotify instance or watch is left ({})", directory,
                    std::strerror(error)));
  }
  return ErrnoError(error, "watch " + directory);
}

}  // namespace

std::vector<DirectoryChange> ParseInotifyEvents(std::string_view bytes) {
  using Kind = DirectoryChange::Kind;
  std::vector<DirectoryChange> changes;
  while (!bytes.empty()) {
    inotify_event event{};
    if (bytes.size() >= sizeof(event)) std::memcpy(&event, bytes.data(), sizeof(event));
    if (bytes.size() < sizeof(event) || bytes.size() - sizeof(event) < event.len) {
      changes.push_back({Kind::kOverflow, ""});
      break;
    }
    // The name is padded with zero bytes.
    const std::string_view padded = bytes.substr(sizeof(event), event.len);
    const std::string_view name = padded.substr(0, padded.find('\0'));
    bytes.remove_prefix(sizeof(event) + event.len);

    if (event.mask & IN_Q_OVERFLOW) {
      changes.push_back({Kind::kOverflow, ""});
    } else if (event.mask & (IN_CREATE | IN_MOVED_TO)) {
      changes.push_back({Kind::kCreated, std::string(name)});
    } else if (event.mask & IN_CLOSE_WRITE) {
      changes.push_back({Kind::kWritten, std::string(name)});
    } else if (event.mask & (IN_DELETE | IN_MOVED_FROM)) {
      changes.push_back({Kind::kDeleted, std::string(name)});
    } else if (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) {
      // IN_IGNORED follows and says nothing new.
      changes.push_back({Kind::kEnded, ""});
    }
  }
  return changes;
}

absl::StatusOr<std::unique_ptr<InotifyWatcher>> InotifyWatcher::Create(EventLoop& loop,
                                                                       const std::string& directory,
                                                                       Handler handler, What what) {
  base::UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) return SetupError(errno, directory);
  std::unique_ptr<InotifyWatcher> watcher(
      new InotifyWatcher(loop, directory, std::move(inotify), what));
  RETURN_IF_ERROR(watcher->Resume());

  // The loop owns the handler, so that it may destroy the watcher and still return.
  RETURN_IF_ERROR(loop.WatchReadable(
      watcher->inotify_.get(),
      [fd = watcher->inotify_.get(), directory, handler = std::move(handler)] {
        // Room for at least one event with the longest name, aligned as the kernel lays them out.
        alignas(inotify_event) std::array<char, 4096> buffer;
        const ssize_t size = RetryOnEintr([&] { return ::read(fd, buffer.data(), buffer.size()); });
        if (size < 0) {
          if (errno != EAGAIN)
            log::Warning("inotify failed",
                         {{"error", ErrnoError(errno, "read changes of " + directory)}});
          return;
        }
        const auto changes = ParseInotifyEvents({buffer.data(), static_cast<std::size_t>(size)});
        if (!changes.empty()) handler(changes);
      }));
  return watcher;
}

InotifyWatcher::InotifyWatcher(EventLoop& loop, std::string directory, base::UniqueFd inotify,
                               What what)
    : loop_(loop), directory_(std::move(directory)), inotify_(std::move(inotify)), what_(what) {}

InotifyWatcher::~InotifyWatcher() { loop_.Unwatch(inotify_.get()); }

void InotifyWatcher::Pause() {
  // It fails if the directory is gone and took the watch along, which is as good.
  if (watch_) ::inotify_rm_watch(inotify_.get(), *watch_);
  watch_.reset();
}

absl::Status InotifyWatcher::Resume() {
  const std::uint32_t mask = what_ == What::kNames ? kMask : kMask | IN_CLOSE_WRITE;
  const int watch = ::inotify_add_watch(inotify_.get(), directory_.c_str(), mask);
  if (watch < 0) return SetupError(errno, directory_);
  watch_ = watch;
  return absl::OkStatus();
}

}  // namespace dp::os
