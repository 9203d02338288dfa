// SPDX-License-Identifier: Apache-2.0
#include "plugin/settings/settings_directory.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/os/file.h"
#include "plugin/settings/cdi_json.h"
#include "plugin/settings/settings_env.h"
#include "plugin/settings/settings_json.h"

namespace dp::settings {
namespace {

// Everyone may read: the process in the container has any user ID.
constexpr mode_t kFileMode = 0644;
constexpr auto kDirectoryMode = std::filesystem::perms{0755};

absl::Status MakeDirectory(const std::string& path) {
  std::error_code error;
  if (std::filesystem::create_directory(path, error)) {
    // Whatever the umask.
    std::filesystem::permissions(path, kDirectoryMode, error);
  }
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(), fmt::format("cannot make the directory {}", path));
}

}  // namespace

SettingsDirectory::SettingsDirectory(std::string root, std::string cdi)
    : root_(std::move(root)), cdi_(std::move(cdi)) {}

std::string SettingsDirectory::CdiFile(const std::string& key) const {
  return fmt::format("{}/vfio-doorbell_{}.json", cdi_, key);
}

absl::Status SettingsDirectory::Prepare() {
  RETURN_IF_ERROR(MakeDirectory(root_));
  if (::access(root_.c_str(), W_OK | X_OK) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, fmt::format("cannot write to {}", root_));
}

absl::StatusOr<std::string> SettingsDirectory::Put(const std::string& key,
                                                   const core::Settings& settings) {
  std::string directory = root_ + "/" + key;
  RETURN_IF_ERROR(MakeDirectory(directory));
  RETURN_IF_ERROR(
      os::WriteFileAtomically(directory + "/settings.json", ToJson(settings), kFileMode));
  RETURN_IF_ERROR(os::WriteFileAtomically(directory + "/settings.env", ToEnv(settings), kFileMode));
  if (settings.cdi) {
    RETURN_IF_ERROR(MakeDirectory(cdi_));
    RETURN_IF_ERROR(os::WriteFileAtomically(CdiFile(key), ToCdiJson(key, settings), kFileMode));
  }
  return directory;
}

absl::StatusOr<std::vector<std::string>> SettingsDirectory::Keys() {
  std::vector<std::string> keys;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(root_, error), end; !error && entry != end;
       entry.increment(error)) {
    // The admin socket may be there, too.
    if (entry->is_directory(error)) keys.push_back(entry->path().filename().string());
  }
  if (!error) return keys;
  return absl::ErrnoToStatus(error.value(), fmt::format("cannot read {}", root_));
}

absl::Status SettingsDirectory::Remove(const std::string& key) {
  const std::string directory = root_ + "/" + key;
  std::error_code error;
  std::filesystem::remove_all(directory, error);
  if (error) return absl::ErrnoToStatus(error.value(), fmt::format("cannot remove {}", directory));
  const std::string specification = CdiFile(key);
  std::filesystem::remove(specification, error);
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(), fmt::format("cannot remove {}", specification));
}

}  // namespace dp::settings
