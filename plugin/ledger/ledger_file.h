// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/ports.h"
#include "plugin/ledger/owned_file.h"

namespace dp::ledger {

// The ledger in one file, <folder>/ledger.json (docs/ledger.md). Daemons are the only ones that
// write into the folder.
class LedgerFile final : public core::LedgerStore {
 public:
  explicit LedgerFile(const std::string& folder);

  // Makes the folder if it is not there (its parent must be), and sees whether a file can be made
  // in it: better at start than at the first allocation. By errno; names the path.
  absl::Status Prepare();

  // What is set aside is <folder>/ledger.json.unreadable-1, or the next number that is free.
  absl::StatusOr<core::Ledger> Load() override;
  // Waits for the disk, and for another daemon that writes.
  absl::Status Save(const core::Ledger& ledger) override;
  bool IsTakenOver() override { return file_.IsTakenOver(); }

 private:
  const std::string folder_;
  OwnedFile file_;
};

}  // namespace dp::ledger
