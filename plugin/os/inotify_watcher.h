// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
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
    kWritten,   // a file was written and closed; only if contents are watched
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
// Belongs to the loop; the loop must outlive it.
class InotifyWatcher {
 public:
  enum class What { kNames, kNamesAndContents };

  // Called with one or more changes; may destroy the watcher.
  using Handler = std::function<void(std::span<const DirectoryChange>)>;

  // ResourceExhausted: no inotify instance or watch left on this host
  // (fs.inotify.max_user_instances, max_user_watches); poll instead. Else by errno. Each names the
  // directory.
  static absl::StatusOr<std::unique_ptr<InotifyWatcher>> Create(EventLoop& loop,
                                                                const std::string& directory,
                                                                Handler handler,
                                                                What what = What::kNames);
  InotifyWatcher(const InotifyWatcher&) = delete;
  InotifyWatcher& operator=(const InotifyWatcher&) = delete;
  // The kernel takes 8 to 16 ms to close a descriptor that watches something; one that is paused
  // closes at once.
  ~InotifyWatcher();

  // Reports nothing until Resume(), but for changes from before.
  void Pause();
  // Watches what has the path of the directory now. Errors as Create().
  absl::Status Resume();

 private:
  InotifyWatcher(EventLoop& loop, std::string directory, base::UniqueFd inotify, What what);

  EventLoop& loop_;
  const std::string directory_;
  base::UniqueFd inotify_;
  const What what_;
  std::optional<int> watch_;  // empty: paused
};

}  // namespace dp::os
