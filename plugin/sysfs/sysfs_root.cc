// SPDX-License-Identifier: Apache-2.0
#include "plugin/sysfs/sysfs_root.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>

#include "plugin/base/status_macros.h"
#include "plugin/os/open_beneath.h"
#include "plugin/os/syscall.h"

namespace dp::sysfs {
namespace {

// Spelled out for what is usual or hostile; cheap for ENOENT, which a scan meets in every group of
// an ordinary host.
absl::Status Reason(int error, std::string_view access) {
  switch (error) {
    case ENOENT:
      return absl::NotFoundError("does not exist");
    case ENODEV:
      return absl::UnavailableError("vanished while it was read");
    case ENOTDIR:
      return absl::FailedPreconditionError("is not a directory");
    case ELOOP:
      return absl::FailedPreconditionError("is a link where none is expected, or one of a loop");
    case EXDEV:
      return absl::FailedPreconditionError("leads out of sysfs");
    default:
      return os::ErrnoError(error, access);
  }
}

}  // namespace

absl::StatusOr<std::string_view> SysfsDirectory::Read(const char* path, Buffer& buffer) const {
  const base::UniqueFd fd = os::OpenBeneath(fd_.get(), path, O_RDONLY, os::Links::kRefuse);
  if (!fd.valid()) return Reason(errno, "be opened");
  // An attribute is rendered at the first read and comes in one piece
  // (Documentation/filesystems/sysfs.rst).
  const std::span<char> bytes = buffer.bytes();
  const ssize_t size =
      os::RetryOnEintr([&] { return ::read(fd.get(), bytes.data(), bytes.size()); });
  if (size < 0) return Reason(errno, "be read");
  const auto length = static_cast<std::size_t>(size);
  if (length > Buffer::kLongestAttribute) {
    return absl::OutOfRangeError(fmt::format("has more than {} bytes", Buffer::kLongestAttribute));
  }
  return std::string_view(bytes.data(), length);
}

int SysfsDirectory::CheckWritable(const char* path) const {
  return os::OpenBeneath(fd_.get(), path, O_WRONLY, os::Links::kRefuse).valid() ? 0 : errno;
}

int SysfsDirectory::Write(const char* path, std::string_view value) const {
  const base::UniqueFd fd =
      os::OpenBeneath(fd_.get(), path, O_WRONLY | O_TRUNC, os::Links::kRefuse);
  if (!fd.valid()) return errno;
  const ssize_t written =
      os::RetryOnEintr([&] { return ::write(fd.get(), value.data(), value.size()); });
  if (written < 0) return errno;
  return static_cast<std::size_t>(written) == value.size() ? 0 : EIO;
}

absl::Status SysfsDirectory::List(const char* path, Buffer& buffer, std::vector<std::string>& names,
                                  std::size_t most) const {
  names.clear();
  const base::UniqueFd fd =
      os::OpenBeneath(fd_.get(), path, O_RDONLY | O_DIRECTORY, os::Links::kRefuse);
  if (!fd.valid()) return Reason(errno, "be opened");
  const std::span<char> bytes = buffer.bytes();
  while (true) {
    // Without opendir(3): it allocates 32 KiB and makes two more system calls, for each of
    // thousands of directories.
    const ssize_t size = ::getdents64(fd.get(), bytes.data(), bytes.size());
    if (size < 0) return Reason(errno, "be listed");
    if (size == 0) return absl::OkStatus();
    for (std::size_t offset = 0; offset < static_cast<std::size_t>(size);) {
      // The records are aligned for dirent64, their lengths differ.
      unsigned short length = 0;  // NOLINT(google-runtime-int): the type of d_reclen
      std::memcpy(&length, &bytes[offset + offsetof(dirent64, d_reclen)], sizeof(length));
      const std::string_view name(&bytes[offset + offsetof(dirent64, d_name)]);
      if (name != "." && name != "..") {
        if (names.size() == most)
          return absl::OutOfRangeError(fmt::format("has more than {} entries", most));
        names.emplace_back(name);
      }
      offset += length;
    }
  }
}

absl::StatusOr<std::string> SysfsDirectory::ReadLink(const char* path) const {
  const base::UniqueFd fd =
      os::OpenBeneath(fd_.get(), path, O_PATH | O_NOFOLLOW, os::Links::kRefuse);
  if (!fd.valid()) return Reason(errno, "be opened");
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(fd.get(), "", target.data(), target.size());
  if (size < 0) return Reason(errno, "be read");
  target.resize(static_cast<std::size_t>(size));
  return target;
}

absl::StatusOr<SysfsDirectory> SysfsDirectory::Follow(const char* path) const {
  base::UniqueFd fd = os::OpenBeneath(fd_.get(), path, O_PATH | O_DIRECTORY, os::Links::kFollow);
  if (!fd.valid()) return Reason(errno, "be opened");
  return SysfsDirectory(std::move(fd));
}

absl::StatusOr<SysfsRoot> SysfsRoot::Open(std::string path) {
  base::UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) {
    return absl::FailedPreconditionError(
        std::string(os::ErrnoError(errno, "open " + path).message()));
  }
  return SysfsRoot(std::move(path), SysfsDirectory(std::move(fd)));
}

}  // namespace dp::sysfs
