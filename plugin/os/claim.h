// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"

namespace dp::os {

// The number by which the kernel knows a device.
struct DeviceNumber {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
};

// Opens the block device at `path`, which has this number, for exclusive use: O_EXCL of open(2)
// without O_CREAT. The kernel refuses that while a file system is mounted from it or from one of
// its partitions, in whatever mount namespace, while it is swapped to, or while another block
// device (dm, md, bcache) or program has it exclusively; and refuses all of them as long as the
// descriptor is open. Reads nothing.
// Unavailable: somebody has it. FailedPrecondition: another device, or none, has this path. Else by
// errno. Each names the path. An invalid descriptor: the drive has no medium.
absl::StatusOr<base::UniqueFd> ClaimBlockDevice(const std::string& path, DeviceNumber number);

// Opens a VFIO group, which one process can have open at a time.
// Unavailable: somebody has it. Else by errno. Each names the path.
absl::StatusOr<base::UniqueFd> ClaimVfioGroup(const std::string& path);

}  // namespace dp::os
