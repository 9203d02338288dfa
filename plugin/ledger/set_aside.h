// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"

namespace dp::ledger {

// Renames a file that cannot be understood to `path` + ".unreadable-1", or the next number that is
// free. DataLoss: done; the message is `reason` and the new name. Else by errno: it is as it was.
absl::Status SetAside(const std::string& path, const absl::Status& reason);

}  // namespace dp::ledger
