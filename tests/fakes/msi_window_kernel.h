// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "plugin/base/unique_fd.h"
#include "plugin/core/window.h"

namespace dp::fakes {

// Plays the kernel behind msi_window files of a SysfsTree, which are ordinary files, for a program
// that must not know the difference:
//  - where "default" was written, the fixed window is read;
//  - an opening with O_TRUNC changes nothing, so a writer that is killed before its write(2) leaves
//    the window as it was.
// It does so before anybody can look: each open(2) of these files waits until this object has put
// the content in order (fanotify(7), FAN_OPEN_PERM). There is nothing to wait for, and no moment
// at which a program could see what no kernel shows.
//
// What it cannot do is to refuse: no file in memory answers EBUSY, ERANGE or EADDRINUSE. The model
// (tests/model) and the tests of the kernel series (tests/kernel) have these.
//
// Needs root, as UeventSender does; a host that refuses ends the test program with the reason.
// Every member may be called from any thread.
class MsiWindowKernel {
 public:
  MsiWindowKernel();
  MsiWindowKernel(const MsiWindowKernel&) = delete;
  MsiWindowKernel& operator=(const MsiWindowKernel&) = delete;
  ~MsiWindowKernel();

  // The group's file, which is there, holds a window and stays the same file from now on.
  void Add(std::uint32_t group, const std::string& msi_window_path);
  // The window in force.
  [[nodiscard]] core::Window WindowOf(std::uint32_t group);
  // Calls `call` once, at the `opens`-th time from now that any of the files is opened, 1 being the
  // next, while whoever opens it waits. 0: not at all. After the return no earlier call is under
  // way. `call` must not use this object.
  void CallAt(int opens, std::function<void()> call);

 private:
  struct File {
    base::UniqueFd fd;   // that was opened before the file was watched: its use is not reported
    core::Window known;  // the last one that was seen
  };

  void Serve();
  // What a writer left, as a kernel would have understood it.
  static core::Window Read(File& file);
  // Only while nobody has the file open: it would undo what a writer writes in between.
  static void PutInOrder(File& file);

  base::UniqueFd fanotify_;
  base::UniqueFd stop_;  // an eventfd

  std::mutex mutex_;
  // All below are guarded by mutex_.
  std::map<std::uint32_t, File> files_;                           // by group
  std::map<std::pair<dev_t, ino_t>, std::uint32_t> group_by_id_;  // of the file
  int opens_left_ = 0;
  std::function<void()> call_;

  std::thread server_;
};

}  // namespace dp::fakes
