// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "plugin/core/ports.h"

namespace dp::fakes {

class FakeDriverStore final : public core::DriverStore {
 public:
  std::optional<core::DriverRecord> record;  // saved last
  absl::Status load_status;                  // what Load() fails with
  absl::Status save_status;                  // what Save() fails with

  absl::StatusOr<core::DriverRecord> Load() override {
    if (!load_status.ok()) return load_status;
    if (!record) return absl::NotFoundError("there is no record");
    return *record;
  }
  absl::Status Save(const core::DriverRecord& value) override {
    if (!save_status.ok()) return save_status;
    record = value;
    return absl::OkStatus();
  }
};

}  // namespace dp::fakes
