// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/os/file.h"

namespace dp::ledger {

// A file that the daemon keeps its knowledge in. Of several daemons, as during an update, the one
// that has read it last owns it: it is never written by one that does not know what is in it.
class OwnedFile {
 public:
  OwnedFile(std::string folder, const std::string& name);
  OwnedFile(const OwnedFile&) = delete;
  OwnedFile& operator=(const OwnedFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

  // What `decode` makes of the content, which is this process's from now on. DataLoss: it has more
  // than `max_bytes`, or `decode` refuses it; it has been set aside as `path` + ".unreadable-1", or
  // the next number that is free, and the message says so and why. Else by errno, and the file is
  // as it was. Waits for another daemon that writes.
  template <typename T>
  absl::StatusOr<T> Load(std::size_t max_bytes, absl::StatusOr<T> (*decode)(std::string_view)) {
    const auto text = Read(max_bytes);
    // Not read is not unreadable: it may be all right the next time.
    if (!text.ok())
      return absl::IsOutOfRange(text.status()) ? SetAside(text.status()) : text.status();
    auto value = decode(*text);
    return value.ok() ? std::move(value) : SetAside(Unreadable(value.status()));
  }
  // As os::WriteFileAtomically(). FailedPrecondition: it is another process's now.
  // Waits for the disk, and for another daemon that writes.
  absl::Status Save(std::string_view text);
  // Whether it is another process's now. A file that was removed is nobody's.
  [[nodiscard]] bool IsTakenOver() const;

 private:
  absl::StatusOr<std::string> Read(std::size_t max_bytes);
  [[nodiscard]] absl::Status Unreadable(const absl::Status& reason) const;
  [[nodiscard]] absl::Status SetAside(const absl::Status& reason) const;

  const std::string folder_;
  const std::string path_;
  std::optional<os::FileId> known_;  // the file as it was read or written last
};

}  // namespace dp::ledger
