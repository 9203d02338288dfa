// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/syscall.h"

#include <fmt/format.h>

namespace dp::os {

absl::Status ErrnoError(int error, std::string_view action) {
  return absl::ErrnoToStatus(error, fmt::format("cannot {}", action));
}

}  // namespace dp::os
