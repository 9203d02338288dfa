// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/ports.h"
#include "plugin/ledger/owned_file.h"

namespace dp::ledger {

// The record of former drivers in one file, <folder>/drivers.json (docs/ledger.md). Not a part of
// the ledger: a daemon that is too old for binding would take it for an unknown field and drop it.
// The folder is made by LedgerFile::Prepare().
class DriverFile final : public core::DriverStore {
 public:
  explicit DriverFile(const std::string& folder) : file_(folder, "drivers.json") {}

  // What is set aside is <folder>/drivers.json.unreadable-1, or the next number that is free.
  absl::StatusOr<core::DriverRecord> Load() override;
  // FailedPrecondition: a younger daemon has read it since. Waits for the disk, and for another
  // daemon that writes.
  absl::Status Save(const core::DriverRecord& record) override;

 private:
  OwnedFile file_;
};

}  // namespace dp::ledger
