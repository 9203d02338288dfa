// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "plugin/base/unique_fd.h"

namespace dp::reliability {

// Waits for what a program does to files. One thread. A host that refuses ends the test program.
class Changes {
 public:
  Changes();

  // A folder in which files come and go, or a file that is written.
  void Watch(const std::string& path);
  // Looks whether it is so, again after each change, for 10 s at most.
  [[nodiscard]] bool WaitUntil(const std::function<bool()>& is_so) const;

 private:
  base::UniqueFd inotify_;
};

}  // namespace dp::reliability
