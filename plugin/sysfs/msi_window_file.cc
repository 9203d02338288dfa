// SPDX-License-Identifier: Apache-2.0
#include "plugin/sysfs/msi_window_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <optional>
#include <string>

#include "plugin/os/confinement.h"
#include "plugin/os/syscall.h"
#include "plugin/sysfs/attributes.h"

namespace dp::sysfs {
namespace {

std::string KnobPath(std::uint32_t group) {
  return fmt::format("kernel/iommu_groups/{}/msi_window", group);
}

}  // namespace

absl::StatusOr<core::Window> MsiWindowFile::Read(std::uint32_t group) {
  const std::string path = KnobPath(group);
  SysfsDirectory::Buffer buffer;
  const auto refuse = [&](absl::StatusCode code, const absl::Status& reason) {
    return absl::Status(
        code, fmt::format("{} {}", root_.PathOf(path),
                          std::string_view(reason.message().data(), reason.message().size())));
  };
  const absl::StatusOr<std::string_view> text = root_.directory().Read(path.c_str(), buffer);
  if (!text.ok()) return refuse(text.status().code(), text.status());
  const absl::StatusOr<std::optional<core::Window>> window = ParseMsiWindow(*text);
  if (!window.ok()) return refuse(absl::StatusCode::kInternal, window.status());
  if (!window->has_value()) {
    return absl::FailedPreconditionError(fmt::format(
        "{} says \"none\": the group has no software-managed MSI window", root_.PathOf(path)));
  }
  return **window;
}

absl::Status MsiWindowFile::Check(std::uint32_t group) {
  const std::string path = KnobPath(group);
  const int error = root_.directory().CheckWritable(path.c_str());
  return error == 0 ? absl::OkStatus()
                    : MsiWindowOpenError(error, root_.PathOf(path), os::ReadConfinement());
}

absl::Status MsiWindowFile::Write(std::uint32_t group, core::Window window) {
  return WriteText(group, core::FormatWindow(window));
}

absl::Status MsiWindowFile::Reset(std::uint32_t group) { return WriteText(group, "default"); }

absl::Status MsiWindowFile::WriteText(std::uint32_t group, std::string_view value) {
  const std::string path = KnobPath(group);
  const int error = root_.directory().Write(path.c_str(), fmt::format("{}\n", value));
  if (error == 0) return absl::OkStatus();
  absl::Status status = MsiWindowWriteError(error, root_.PathOf(path), value);
  if (!absl::IsPermissionDenied(status)) return status;
  // The kernel asks for the capabilities when it is written; others are against opening it.
  absl::Status opened = Check(group);
  return opened.ok() ? status : opened;
}

absl::Status MsiWindowOpenError(int error, std::string_view path, std::string_view confinement) {
  switch (error) {
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(fmt::format(
          "cannot open {} for writing: Permission denied; {}", path,
          confinement.empty()
              ? "neither AppArmor nor SELinux confines this process, so look at the file's mode"
              : fmt::format("AppArmor or SELinux confines this process as \"{}\"", confinement)));
    case EROFS:
      return absl::PermissionDeniedError(
          fmt::format("cannot open {} for writing: it is mounted read-only", path));
    case ENOENT:
      return absl::NotFoundError(fmt::format("{} does not exist", path));
    default:
      return os::ErrnoError(error, fmt::format("open {} for writing", path));
  }
}

absl::Status MsiWindowWriteError(int error, std::string_view path, std::string_view value) {
  const auto refuse = [&](absl::StatusCode code, std::string_view reason) {
    return absl::Status(code, fmt::format("cannot write \"{}\" to {}: {}", value, path, reason));
  };
  switch (error) {
    case EACCES:
    case EPERM:
      return refuse(absl::StatusCode::kPermissionDenied,
                    "it takes the capabilities CAP_SYS_ADMIN and CAP_SYS_RAWIO");
    case EROFS:
      return refuse(absl::StatusCode::kPermissionDenied, "sysfs is mounted read-only there");
    case EBUSY:
      return refuse(absl::StatusCode::kUnavailable, "a user of VFIO or iommufd owns the group");
    case ERANGE:
      return refuse(absl::StatusCode::kOutOfRange,
                    "the window lies outside of the addresses that the IOMMU translates");
    case EADDRINUSE:
      return refuse(absl::StatusCode::kAlreadyExists,
                    "the window overlaps a reserved region of the group");
    case EOPNOTSUPP:
      return refuse(absl::StatusCode::kUnimplemented,
                    "the group has no software-managed MSI window");
    case EINVAL:
      return refuse(absl::StatusCode::kInvalidArgument,
                    "base and size must be multiples of 0x100000, neither 0, and the end must not "
                    "wrap around");
    case ENODEV:
      return refuse(absl::StatusCode::kNotFound, "the group has no devices any more");
    case ENOENT:
      return refuse(absl::StatusCode::kNotFound,
                    "there is no such group, or the kernel lacks the attribute");
    default:
      return os::ErrnoError(error, fmt::format("write \"{}\" to {}", value, path));
  }
}

}  // namespace dp::sysfs
