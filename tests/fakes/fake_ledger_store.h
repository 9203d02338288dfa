// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "plugin/core/ports.h"

namespace dp::fakes {

class FakeLedgerStore final : public core::LedgerStore {
 public:
  std::optional<core::Ledger> ledger;  // saved last
  absl::Status load_status;            // what Load() fails with
  absl::Status save_status;            // what Save() fails with
  bool taken_over = false;             // by another process
  int saves = 0;

  absl::StatusOr<core::Ledger> Load() override {
    if (!load_status.ok()) return load_status;
    if (!ledger) return absl::NotFoundError("there is no ledger");
    return *ledger;
  }
  absl::Status Save(const core::Ledger& value) override {
    if (!save_status.ok()) return save_status;
    ledger = value;
    ++saves;
    return absl::OkStatus();
  }
  bool IsTakenOver() override { return taken_over; }
};

}  // namespace dp::fakes
