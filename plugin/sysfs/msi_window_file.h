// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/ports.h"
#include "plugin/core/window.h"
#include "plugin/sysfs/sysfs_root.h"

namespace dp::sysfs {

// The knob is a file of sysfs: kernel/iommu_groups/N/msi_window
// (Documentation/ABI/testing/sysfs-kernel-iommu_groups, as the series in kernel/ adds it).
class MsiWindowFile final : public core::MsiWindowKnob {
 public:
  // `root` must outlive it.
  explicit MsiWindowFile(const SysfsRoot& root) : root_(root) {}

  absl::StatusOr<core::Window> Read(std::uint32_t group) override;
  absl::Status Check(std::uint32_t group) override;
  absl::Status Write(std::uint32_t group, core::Window window) override;
  absl::Status Reset(std::uint32_t group) override;

 private:
  absl::Status WriteText(std::uint32_t group, std::string_view value);

  const SysfsRoot& root_;
};

// What it means that the kernel answers a write of `value` to the msi_window attribute at `path`
// with `error`: the status code that core::MsiWindowKnob::Write() documents, and one sentence.
absl::Status MsiWindowWriteError(int error, std::string_view path, std::string_view value);

// What it means that the attribute at `path` cannot be opened for writing, as
// core::MsiWindowKnob::Check() documents. `confinement`: see os::ReadConfinement().
absl::Status MsiWindowOpenError(int error, std::string_view path, std::string_view confinement);

}  // namespace dp::sysfs
