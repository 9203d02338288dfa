// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/inventory.h"
#include "plugin/core/window.h"

// What the core asks of the outside. Implemented elsewhere, wired in app/.
namespace dp::core {

// The kernel's msi_window attribute of each IOMMU group. Called on the loop thread; every call is one short system call pair.
class MsiWindowKnob {
 public:
  virtual ~MsiWindowKnob() = default;
  // The window in force.
  // NotFound: no such group, or a kernel without the attribute. FailedPrecondition: the group has no software window ("none").
  virtual absl::StatusOr<Window> Read(std::uint32_t group) = 0;
  // PermissionDenied (EACCES), Unavailable (EBUSY: a VFIO user owns the group), OutOfRange (ERANGE), AlreadyExists (EADDRINUSE),
  // Unimplemented (EOPNOTSUPP), InvalidArgument (EINVAL), NotFound; each message is one sentence with the path and the value.
  virtual absl::Status Write(std::uint32_t group, Window window) = 0;
  // Writes "default". Errors as Write().
  virtual absl::Status Reset(std::uint32_t group) = 0;
};

// Reads the host. Called on the loop thread.
class HostScanner {
 public:
  virtual ~HostScanner() = default;
  // Every IOMMU group with its members. What cannot be read is listed in Inventory::skipped; the rest stands.
  // FailedPrecondition: sysfs is not mounted there, or the host has no IOMMU groups at all; names the path.
  virtual absl::StatusOr<Inventory> Scan() = 0;
};

}  // namespace dp::core
