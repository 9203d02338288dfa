// SPDX-License-Identifier: Apache-2.0
#include "plugin/ledger/set_aside.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

namespace dp::ledger {

absl::Status SetAside(const std::string& path, const absl::Status& reason) {
  for (int number = 1;; ++number) {
    const std::string aside = fmt::format("{}.unreadable-{}", path, number);
    // Not rename(2), which would remove what has this name already.
    if (::link(path.c_str(), aside.c_str()) == 0 && ::unlink(path.c_str()) == 0) {
      return absl::DataLossError(
          fmt::format("{}; it is set aside as {}", std::string(reason.message()), aside));
    }
    if (errno == EEXIST) continue;
    return absl::ErrnoToStatus(errno, fmt::format("{}; it cannot be set aside as {}",
                                                  std::string(reason.message()), aside));
  }
}

}  // namespace dp::ledger
