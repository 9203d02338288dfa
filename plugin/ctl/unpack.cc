// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/unpack.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/base/unique_fd.h"
#include "plugin/ctl/archive.h"
#include "plugin/os/file.h"
#include "plugin/os/open_beneath.h"
#include "plugin/os/syscall.h"

namespace dp::ctl {
namespace {

constexpr mode_t kFolderMode = 0700;
constexpr mode_t kFileMode = 0600;

absl::Status Error(const std::string& path) { return os::ErrnoError(errno, "make " + path); }

base::UniqueFd OpenFolder(int root, const std::string& path) {
  return os::OpenBeneath(root, path.c_str(), O_RDONLY | O_DIRECTORY, os::Links::kRefuse);
}

// The folder at `path`, made with its parents if it is not there.
absl::StatusOr<base::UniqueFd> MakeFolder(int root, const std::string& path) {
  base::UniqueFd folder = OpenFolder(root, path.empty() ? "." : path);
  if (folder.valid()) return folder;
  if (errno != ENOENT) return Error(path);
  const auto slash = path.rfind('/');
  const bool is_top = slash == std::string::npos;
  // As deep as a path has parts.
  ASSIGN_OR_RETURN(const base::UniqueFd parent,
                   MakeFolder(root, is_top ? "" : path.substr(0, slash)));
  const std::string name = is_top ? path : path.substr(slash + 1);
  if (::mkdirat(parent.get(), name.c_str(), kFolderMode) < 0 && errno != EEXIST) return Error(path);
  folder = OpenFolder(root, path);
  if (!folder.valid()) return Error(path);
  return folder;
}

absl::Status MakeFile(int folder, const std::string& name, std::string_view content) {
  const base::UniqueFd file(::openat(
      folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode));
  if (!file.valid()) return Error(name);
  std::string_view rest = content;
  while (!rest.empty()) {
    const ssize_t written =
        os::RetryOnEintr([&] { return ::write(file.get(), rest.data(), rest.size()); });
    if (written < 0) return Error(name);
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status Make(int root, const Entry& entry) {
  if (entry.kind == Entry::Kind::kDirectory) return MakeFolder(root, entry.path).status();
  const auto slash = entry.path.rfind('/');
  const bool is_top = slash == std::string::npos;
  // Files there are opened by their paths.
  if (entry.kind == Entry::Kind::kLink && entry.path.starts_with(kOwnFolder)) {
    return absl::InvalidArgumentError(fmt::format("{} is a link", entry.path));
  }
  ASSIGN_OR_RETURN(const base::UniqueFd folder,
                   MakeFolder(root, is_top ? "" : entry.path.substr(0, slash)));
  const std::string name = is_top ? entry.path : entry.path.substr(slash + 1);
  if (entry.kind == Entry::Kind::kFile) return MakeFile(folder.get(), name, entry.content);
  return ::symlinkat(entry.content.c_str(), folder.get(), name.c_str()) == 0 ? absl::OkStatus()
                                                                             : Error(entry.path);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Unpacked>> Unpacked::Create(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, os::ReadFile(path, kMostArchiveBytes));
  std::error_code error;
  std::string folder = std::filesystem::temp_directory_path(error).string() + "/doorbellctl-XXXXXX";
  if (error || ::mkdtemp(folder.data()) == nullptr) return Error(folder);
  auto unpacked = std::unique_ptr<Unpacked>(new Unpacked(folder));
  const base::UniqueFd root(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return Error(folder);
  const absl::Status status =
      ReadArchive(text, [&root](const Entry& entry) { return Make(root.get(), entry); });
  if (!status.ok()) {
    return absl::InvalidArgumentError(fmt::format("{}: {}", path, std::string(status.message())));
  }
  return unpacked;
}

absl::Status WriteNewFile(const std::string& path, std::string_view content) {
  return MakeFile(AT_FDCWD, path, content);
}

Unpacked::~Unpacked() {
  // Does not follow links.
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace dp::ctl
