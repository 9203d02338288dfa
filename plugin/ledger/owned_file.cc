// SPDX-License-Identifier: Apache-2.0
#include "plugin/ledger/owned_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/base/unique_fd.h"
#include "plugin/os/syscall.h"

namespace dp::ledger {
namespace {

// It may name pods.
constexpr mode_t kFileMode = 0600;

}  // namespace

OwnedFile::OwnedFile(std::string folder, const std::string& name)
    : folder_(std::move(folder)), path_(folder_ + "/" + name) {}

bool OwnedFile::IsTakenOver() const {
  const std::optional<os::FileId> now = os::FindFile(path_);
  return now && now != known_;
}

absl::StatusOr<std::string> OwnedFile::Read(std::size_t max_bytes) {
  ASSIGN_OR_RETURN(const base::UniqueFd lock, os::LockFolder(folder_));
  ASSIGN_OR_RETURN(std::string text, os::ReadFile(path_, max_bytes));
  // Its time is what tells the former owner.
  if (::utimensat(AT_FDCWD, path_.c_str(), nullptr, AT_SYMLINK_NOFOLLOW) < 0)
    return os::ErrnoError(errno, "take over " + path_);
  known_ = os::FindFile(path_);
  return text;
}

absl::Status OwnedFile::Save(std::string_view text) {
  ASSIGN_OR_RETURN(const base::UniqueFd lock, os::LockFolder(folder_));
  if (IsTakenOver())
    return absl::FailedPreconditionError("another process has taken over " + path_);
  absl::Status status = os::WriteFileAtomically(path_, text, kFileMode);
  known_ = os::FindFile(path_);
  return status;
}

absl::Status OwnedFile::Unreadable(const absl::Status& reason) const {
  return absl::InvalidArgumentError(
      fmt::format("{} is not readable: {}", path_, std::string(reason.message())));
}

absl::Status OwnedFile::SetAside(const absl::Status& reason) const {
  for (int number = 1;; ++number) {
    const std::string aside = fmt::format("{}.unreadable-{}", path_, number);
    // Not rename(2), which would remove what has this name already.
    if (::link(path_.c_str(), aside.c_str()) == 0 && ::unlink(path_.c_str()) == 0) {
      return absl::DataLossError(
          fmt::format("{}; it is set aside as {}", std::string(reason.message()), aside));
    }
    if (errno == EEXIST) continue;
    return absl::ErrnoToStatus(errno, fmt::format("{}; it cannot be set aside as {}",
                                                  std::string(reason.message()), aside));
  }
}

}  // namespace dp::ledger
