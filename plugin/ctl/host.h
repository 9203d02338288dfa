// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/config.h"
#include "plugin/core/inventory.h"
#include "plugin/core/ledger.h"
#include "plugin/ctl/diag.h"
#include "plugin/ctl/node.h"
#include "plugin/ctl/options.h"

namespace dp::ctl {

// How things stand on a host, and what is to be said about where that is from.
struct Reading {
  Node node;
  core::Inventory inventory;
  std::vector<std::string> notes;
  bool is_complete = true;  // false: neither the daemon nor its ledger could be read
};

// The ledger, left as it is: not taken over, and not set aside. NotFound: there is none. Each error
// names the file.
absl::StatusOr<core::Ledger> ReadLedger(const std::string& data_dir);

// Every IOMMU group. FailedPrecondition: there are none, or no sysfs; names the path.
absl::StatusOr<core::Inventory> ReadInventory(const std::string& sysfs_root);

// Asks the daemon, and the kernel; without an answer, reads its records instead. FailedPrecondition
// and others: neither daemon nor kernel can be read; one sentence.
absl::StatusOr<Reading> ReadHost(const Places& places);

// All that diag looks at.
Evidence ReadEvidence(const Places& places);

// The places in an archive that was unpacked to `folder`.
Places PlacesIn(const std::string& folder);

}  // namespace dp::ctl
