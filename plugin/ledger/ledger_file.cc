// SPDX-License-Identifier: Apache-2.0
#include "plugin/ledger/ledger_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "plugin/base/status_macros.h"
#include "plugin/base/unique_fd.h"
#include "plugin/ledger/ledger_json.h"
#include "plugin/os/file.h"
#include "plugin/os/syscall.h"

namespace dp::ledger {
namespace {

// It names pods.
constexpr mode_t kFolderMode = 0700;
constexpr mode_t kFileMode = 0600;

absl::Status MakeFolder(const std::string& path) {
  if (::mkdir(path.c_str(), kFolderMode) == 0) return os::SyncParent(path);
  if (errno == EEXIST) return absl::OkStatus();
  return os::ErrnoError(errno, "make the folder " + path);
}

// Really writes: root may do what access(2) denies, and the other way round on a read-only mount.
absl::Status TryToWrite(const std::string& path) {
  const base::UniqueFd fd(os::RetryOnEintr([&] {
    return ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, kFileMode);
  }));
  if (!fd.valid()) return os::ErrnoError(errno, "create " + path);
  const bool is_written = os::RetryOnEintr([&] { return ::write(fd.get(), "\n", 1); }) == 1;
  const int error = errno;
  ::unlink(path.c_str());
  return is_written ? absl::OkStatus() : os::ErrnoError(error, "write " + path);
}

}  // namespace

LedgerFile::LedgerFile(const std::string& folder) : folder_(folder), file_(folder, "ledger.json") {}

absl::Status LedgerFile::Prepare() {
  RETURN_IF_ERROR(MakeFolder(folder_));
  // Another daemon may be writing.
  ASSIGN_OR_RETURN(const base::UniqueFd lock, os::LockFolder(folder_));
  // The name that Save() begins with. What a killed one has left there goes with it.
  return TryToWrite(file_.path() + ".new");
}

absl::StatusOr<core::Ledger> LedgerFile::Load() { return file_.Load(kMaxBytes, &Decode); }

absl::Status LedgerFile::Save(const core::Ledger& ledger) {
  const std::string text = Encode(ledger);
  if (text.size() > kMaxBytes) {
    return absl::ResourceExhaustedError(
        fmt::format("{} would have {} bytes, more than {}", file_.path(), text.size(), kMaxBytes));
  }
  return file_.Save(text);
}

}  // namespace dp::ledger
