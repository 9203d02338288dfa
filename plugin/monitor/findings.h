// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "api/admin/v1/api.pb.h"

namespace dp::monitor {

// One fact that a node has to fulfil to be ready.
struct Finding {
  std::string check;    // "registered"
  std::string trouble;  // a clause; empty: it is so
};

// Whether a pod that comes now gets its device, and whether those that have one have it rightly.
// docs/monitoring.md says why these facts and no others. Names neither pods nor paths: the answer
// is shown to whoever reaches the address. Pure.
std::vector<Finding> Judge(const ::vfio_doorbell::admin::v1::NodeState& state);

}  // namespace dp::monitor
