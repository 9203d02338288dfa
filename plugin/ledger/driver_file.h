// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/ports.h"

namespace dp::ledger {

// The record of former drivers in one file, <folder>/drivers.json (docs/ledger.md). Not a part of
// the ledger: a daemon that is too old for binding would take it for an unknown field and drop it.
// The folder is made by LedgerFile::Prepare().
class DriverFile final : public core::DriverStore {
 public:
  explicit DriverFile(const std::string& folder) : path_(folder + "/drivers.json") {}

  // What is set aside is <folder>/drivers.json.unreadable-1, or the next number that is free.
  absl::StatusOr<core::DriverRecord> Load() override;
  // Waits for the disk.
  absl::Status Save(const core::DriverRecord& record) override;

 private:
  const std::string path_;
};

}  // namespace dp::ledger
