// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/claim.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <string_view>

#include "absl/status/status.h"
#include "plugin/os/syscall.h"

namespace dp::os {
namespace {

base::UniqueFd Open(const std::string& path, int flags) {
  return base::UniqueFd(
      RetryOnEintr([&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW); }));
}

absl::Status OpenError(int error, std::string_view action) {
  absl::Status status = ErrnoError(error, action);
  // For absl it is a failed precondition, as many others.
  return error == EBUSY ? absl::UnavailableError(status.message()) : status;
}

}  // namespace

absl::StatusOr<base::UniqueFd> ClaimBlockDevice(const std::string& path, DeviceNumber number) {
  struct stat info {};
  // Not opened before it is known to be the right one: an open(2) may have effects.
  if (::lstat(path.c_str(), &info) < 0) return ErrnoError(errno, "look at " + path);
  if (!S_ISBLK(info.st_mode) || info.st_rdev != ::makedev(number.major, number.minor)) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not block device {}:{}", path, number.major, number.minor));
  }
  base::UniqueFd fd = Open(path, O_RDONLY | O_EXCL | O_NONBLOCK);
  if (fd.valid() || errno == ENOMEDIUM) return fd;
  return OpenError(errno, "open " + path + " for exclusive use");
}

absl::StatusOr<base::UniqueFd> ClaimVfioGroup(const std::string& path) {
  base::UniqueFd fd = Open(path, O_RDWR);
  if (fd.valid()) return fd;
  return OpenError(errno, "open " + path);
}

}  // namespace dp::os
