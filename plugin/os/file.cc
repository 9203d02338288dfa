// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "plugin/base/status_macros.h"
#include "plugin/base/unique_fd.h"
#include "plugin/os/syscall.h"

namespace dp::os {
namespace {

constexpr std::size_t kLeastRead = 4096;

absl::Status WriteAll(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written =
        RetryOnEintr([&] { return ::write(fd, content.data(), content.size()); });
    if (written < 0) return ErrnoError(errno, "write " + path);
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status WriteNew(const std::string& path, std::string_view content, mode_t mode,
                      bool to_disk = true) {
  const base::UniqueFd fd(RetryOnEintr([&] {
    return ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
  }));
  if (!fd.valid()) return ErrnoError(errno, "create " + path);
  if (::fchmod(fd.get(), mode) < 0) return ErrnoError(errno, "set the mode of " + path);
  RETURN_IF_ERROR(WriteAll(fd.get(), content, path));
  if (to_disk && RetryOnEintr([&] { return ::fsync(fd.get()); }) < 0)
    return ErrnoError(errno, "write " + path + " to disk");
  return absl::OkStatus();
}

std::string ParentOf(const std::string& path) {
  const std::size_t slash = path.rfind('/', path.find_last_not_of('/'));
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

absl::StatusOr<base::UniqueFd> OpenFolder(const std::string& path) {
  base::UniqueFd fd(
      RetryOnEintr([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  return fd;
}

absl::Status Sync(const base::UniqueFd& folder, const std::string& path) {
  if (RetryOnEintr([&] { return ::fsync(folder.get()); }) < 0)
    return ErrnoError(errno, "write " + path + " to disk");
  return absl::OkStatus();
}

// Puts `fresh` in the place of `path`, which is on disk only when the folder is. Before that it may
// still fail, so the old file keeps a second name.
absl::Status Replace(const std::string& path, const std::string& fresh) {
  const std::string parent = ParentOf(path);
  ASSIGN_OR_RETURN(const base::UniqueFd folder, OpenFolder(parent));
  const std::string old = path + ".old";
  ::unlink(old.c_str());
  const bool has_old = ::link(path.c_str(), old.c_str()) == 0;
  // Not so on a file system without links.
  const bool can_return = has_old || errno == ENOENT;
  if (::rename(fresh.c_str(), path.c_str()) < 0) {
    const int error = errno;
    ::unlink(old.c_str());
    return ErrnoError(error, fmt::format("rename {} to {}", fresh, path));
  }
  absl::Status status = Sync(folder, parent);
  if (status.ok()) {
    ::unlink(old.c_str());
    return status;
  }
  const bool has_returned =
      can_return && (has_old ? ::rename(old.c_str(), path.c_str()) : ::unlink(path.c_str())) == 0 &&
      Sync(folder, parent).ok();
  if (has_returned) return status;
  return absl::DataLossError(fmt::format("{}, and {} may be the old file or the new one now",
                                         std::string(status.message()), path));
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_bytes) {
  const base::UniqueFd fd(
      RetryOnEintr([&] { return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC); }));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  struct stat info {};
  if (::fstat(fd.get(), &info) < 0) return ErrnoError(errno, "read " + path);
  if (!S_ISREG(info.st_mode))
    return absl::FailedPreconditionError(fmt::format("{} is not a regular file", path));

  // One byte more than allowed tells a full file from one that is too long. The size in `info` is
  // only where to begin: it may be stale or, in /proc, 0.
  const std::size_t most = max_bytes + 1;
  const std::size_t expected = static_cast<std::size_t>(info.st_size) + 1;
  std::string content(std::min(most, std::max(expected, kLeastRead)), '\0');
  std::size_t length = 0;
  while (length < most) {
    if (length == content.size()) content.resize(std::min(most, 2 * length));
    const ssize_t size = RetryOnEintr(
        [&] { return ::read(fd.get(), content.data() + length, content.size() - length); });
    if (size < 0) return ErrnoError(errno, "read " + path);
    if (size == 0) break;
    length += static_cast<std::size_t>(size);
  }
  if (length > max_bytes)
    return absl::OutOfRangeError(fmt::format("{} has more than {} bytes", path, max_bytes));
  content.resize(length);
  content.shrink_to_fit();
  return content;
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode) {
  const std::string fresh = path + ".new";
  absl::Status status = WriteNew(fresh, content, mode);
  if (status.ok()) status = Replace(path, fresh);
  if (!status.ok()) ::unlink(fresh.c_str());
  return status;
}

absl::Status ReplaceFile(const std::string& path, const std::string& fresh,
                         std::string_view content, mode_t mode) {
  absl::Status status = WriteNew(fresh, content, mode, /*to_disk=*/false);
  if (status.ok() && ::rename(fresh.c_str(), path.c_str()) < 0) {
    status = ErrnoError(errno, fmt::format("rename {} to {}", fresh, path));
  }
  if (!status.ok()) ::unlink(fresh.c_str());
  return status;
}

absl::Status SyncParent(const std::string& path) {
  const std::string parent = ParentOf(path);
  ASSIGN_OR_RETURN(const base::UniqueFd folder, OpenFolder(parent));
  return Sync(folder, parent);
}

absl::StatusOr<base::UniqueFd> LockFolder(const std::string& path) {
  ASSIGN_OR_RETURN(base::UniqueFd folder, OpenFolder(path + "/"));
  if (RetryOnEintr([&] { return ::flock(folder.get(), LOCK_EX); }) < 0)
    return ErrnoError(errno, "lock " + path);
  return folder;
}

std::optional<FileId> FindFile(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) < 0) return std::nullopt;
  return FileId{
      .inode = info.st_ino, .changed_s = info.st_mtim.tv_sec, .changed_ns = info.st_mtim.tv_nsec};
}

}  // namespace dp::os
