// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "plugin/ctl/archive.h"
#include "plugin/ctl/options.h"
#include "plugin/sysfs/sysfs_root.h"

namespace dp::ctl {

// Takes what the daemon and this program read of sysfs: IOMMU groups, their members, and of each
// member only what tells what it is. Stays inside of sysfs, and within the bounds of an archive;
// what cannot be taken is noted there.
void CaptureSysfs(const sysfs::SysfsRoot& root, ArchiveWriter& archive);

// The same, and the ledger, the configuration, what the daemon says and what diag looks at. No
// serial numbers, MAC addresses or secrets; names of pods and the configuration as it is.
ArchiveWriter Capture(const Places& places);

}  // namespace dp::ctl
