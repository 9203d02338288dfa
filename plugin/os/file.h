// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"

namespace dp::os {

// The content of a regular file. Never blocks on a FIFO or device put in its place.
// OutOfRange: it has more than `max_bytes`. FailedPrecondition: not a regular file. Else by errno.
// Each names the path.
absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_bytes);

// Replaces the file as a whole: a reader sees the old content or the new one, also after a power
// cut. `mode` is taken as given, whatever the umask. Waits for the disk. The new content is first
// written beside it, to `path` + ".new", and the old file is kept as `path` + ".old" meanwhile;
// what a killed writer has left there is overwritten. By errno; names the path. The file is then
// the old one again, also after a power cut. DataLoss: the disk has failed so far that even this is
// not sure; the file is the old one or the new one.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode);

// Replaces the file as a whole for who reads it, by way of `fresh` in the same folder, where what a
// killed writer has left is overwritten. Does not wait for the disk: for what is made anew after a
// power cut. `mode` is taken as given. By errno; names the path.
absl::Status ReplaceFile(const std::string& path, const std::string& fresh,
                         std::string_view content, mode_t mode);

// Waits until it is on disk that `path` was made, renamed or removed.
// By errno; names the path.
absl::Status SyncParent(const std::string& path);

// Waits until no other process has the folder locked, and locks it until the descriptor is closed.
// It binds only those that ask, too (flock(2)). By errno; names the path.
absl::StatusOr<base::UniqueFd> LockFolder(const std::string& path);

// What tells a file from one that has replaced it, which may have the same inode.
struct FileId {
  std::uint64_t inode = 0;
  std::int64_t changed_s = 0;  // last change of the content; for a socket, when it was made
  std::int64_t changed_ns = 0;
  friend bool operator==(const FileId&, const FileId&) = default;
};

// Of what is at `path`; empty if there is nothing that can be looked at.
std::optional<FileId> FindFile(const std::string& path);

}  // namespace dp::os
