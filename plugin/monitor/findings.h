// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "api/admin/v1/api.pb.h"

namespace dp::monitor {

// One fact of a node that should be so.
struct Finding {
  std::string check;      // "registered"
  std::string trouble;    // a clause; empty: it is so
  bool for_ready = true;  // a node where it is not so is not ready
};

// Whether a pod that comes now gets its device, and whether those that have one have it rightly.
// docs/monitoring.md says why these facts and no others. Names neither pods nor paths: the answer
// is shown to whoever reaches the address. Always the same facts, in the same order. Pure.
std::vector<Finding> Judge(const ::vfio_doorbell::admin::v1::NodeState& state);

}  // namespace dp::monitor
