// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/input.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "plugin/os/file.h"
#include "plugin/os/syscall.h"

namespace dp::os {

absl::StatusOr<std::string> ReadFileOrInput(const std::string& path, std::size_t max_bytes) {
  if (path != "-") return ReadFile(path, max_bytes);
  std::string text;
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t length =
        RetryOnEintr([&] { return ::read(STDIN_FILENO, buffer.data(), buffer.size()); });
    if (length < 0) return ErrnoError(errno, "read standard input");
    if (length == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(length));
    if (text.size() > max_bytes) {
      return absl::OutOfRangeError(fmt::format("standard input has more than {} bytes", max_bytes));
    }
  }
}

}  // namespace dp::os
