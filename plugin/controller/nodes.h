// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/kube/api.h"

namespace dp::controller {

// Which of `resources` a node of the cluster offers: it is in status.allocatable or status.capacity
// with another amount than 0. Reads the list of nodes in pages, and no more of them than it takes
// to find all. Errors as kube::Api::Get().
absl::StatusOr<std::set<std::string>> FindOffered(kube::Api& api,
                                                  const std::vector<std::string>& resources);

}  // namespace dp::controller
