// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"
#include "plugin/os/event_loop.h"

namespace dp::os {

struct DirectoryChange {
  enum class Kind {
    kCreated,   // a name appeared: created or moved in
    kDeleted,   // a name went away: deleted or moved out
    kOverflow,  // the kernel dropped changes: look at the whole directory
    kEnded,  // the directory itself was deleted, moved or unmounted: no change will be reported any
             // more
  };
  Kind kind = Kind::kCreated;
  std::string name;  // of the entry; empty for kOverflow and kEnded

  friend bool operator==(const DirectoryChange&, const DirectoryChange&) = default;
};

// What one read(2) from an inotify descriptor says, in order. A record that is cut off or does not
// add up ends the list with kOverflow: its reader must look for itself.
std::vector<DirectoryChange> ParseInotifyEvents(std::string_view bytes);

// Watches the entries of a directory, through inotify(7). It watches the directory and not a file
// in it because a socket or file is replaced, not edited: a watch on the file would stay with the
// old one.
//
// Lives on the loop thread; the loop must outlive it.
class InotifyWatcher {
 public:
  // Called with one or more changes; may destroy the watcher.
  using Handler = std::function<void(std::span<const DirectoryChange>)>;

  // ResourceExhausted: no inotify instance or watch left on this host
  // (fs.inotify.max_user_instances, max_user_watches); poll instead. Else by errno. Each names the
  // directory.
  static absl::StatusOr<std::unique_ptr<InotifyWatcher>> Create(EventLoop& loop,
                                                                const std::string& directory,
                                                                Handler handler);
  InotifyWatcher(const InotifyWatcher&) = delete;
  InotifyWatcher& operator=(const InotifyWatcher&) = delete;
  ~InotifyWatcher();

 private:
  InotifyWatcher(EventLoop& loop, base::UniqueFd inotify);

  EventLoop& loop_;
  base::UniqueFd inotify_;
};

}  // namespace dp::os
