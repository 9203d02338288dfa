// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "plugin/status/node_state.h"

namespace dp::status {

// What Node Feature Discovery makes labels of, one "vfio-doorbell.io/NAME=VALUE" a line: only what
// stays the same while pods come and go.
// https://kubernetes-sigs.github.io/node-feature-discovery/stable/usage/customization-guide.html
std::string FeatureFile(const NodeState& state);

// Puts it in its place as a whole. NFD reads each file of the folder but hidden ones, so what is
// not complete yet is hidden. By errno; names the path.
absl::Status WriteFeatureFile(const std::string& path, const std::string& content);

}  // namespace dp::status
