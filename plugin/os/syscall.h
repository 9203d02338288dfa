// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <string_view>

#include "absl/status/status.h"

namespace dp::os {

// Makes a system call again for as long as signals interrupt it. The only place that knows EINTR.
//
//   const auto size = RetryOnEintr([&] { return ::read(fd, buffer, sizeof(buffer)); });
template <typename Call>
auto RetryOnEintr(Call call) {
  while (true) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

// "cannot open /run/x: Permission denied", with the status code that fits `error` (ENOENT is
// NotFound, and so on). `action` is what was tried, with its path: "open /run/x".
absl::Status ErrnoError(int error, std::string_view action);

}  // namespace dp::os
