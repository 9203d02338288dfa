// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/config.h"
#include "plugin/core/inventory.h"
#include "plugin/ctl/answer.h"
#include "plugin/ctl/facts.h"
#include "plugin/ctl/node.h"
#include "plugin/ctl/output.h"

namespace dp::ctl {

// All that diag looks at.
struct Evidence {
  Facts facts;
  absl::StatusOr<core::Inventory> host;
  absl::StatusOr<core::Config> config;
  absl::Status ledger;  // NotFound: there is none
  absl::Status daemon;  // whether it answers
  Node node;            // from it, or from the records
};

enum class Health { kOk, kWrong, kCannotTell };

struct Check {
  std::string what;
  Health health = Health::kOk;
  std::string finding;  // what there is
  std::string advice;   // what to do; empty: nothing
};

// What is right and what is wrong. Pure.
std::vector<Check> Diagnose(const Evidence& evidence);

// `doorbellctl diag`. kExitNo: something is wrong.
Answer ShowDiagnosis(const std::vector<Check>& checks, const Style& style);

}  // namespace dp::ctl
