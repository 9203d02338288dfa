// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/controller/permits.h"

namespace dp::controller {

// How KubeVirt's CR becomes what it should be.
struct Plan {
  // JSON Patch (RFC 6902), for a CR with the resourceVersion that was looked at and for no other.
  // Empty list: it is what it should be.
  nlohmann::json patch = nlohmann::json::array();
  // What the administrator of the CR should know. Their `line` is 0.
  std::vector<Remark> remarks;
  // Resources of `permits` that no node offers and that wait for one.
  std::vector<std::string> waiting;
};

// Whether a node offers a resource. It is asked only of what is not in the CR yet: what is once
// permitted stays so until the configuration drops it, because a node that is away for a while must
// not stop VMs from being created.
using IsOffered = std::function<bool(const std::string& resource)>;

// Pure. `cr` is a KubeVirt CR as the API server gives it; `permits` are those that the
// configuration wants, none to take back all that is ours.
//
// The patch
//   - adds and removes single entries, so no foreign one is even part of it;
//   - adds none of a resource that another entry permits: that one stays, and is not ours;
//   - removes what kMark says is ours and what is still exactly as we made it: an entry that
//     somebody has edited is his;
//   - adds the feature gate HostDevices if something of `permits` is permitted, unless it is there
//     or listed as disabled, and removes it if it was ours, and no entry, of anybody, is left;
//   - makes the lists that it needs, and removes those that it once made when they are empty, so
//     that what is added and taken back leaves the CR as it was.
//
// InvalidArgument: the CR is not of the shape that KubeVirt's CRD has; names the field.
absl::StatusOr<Plan> MakePlan(const nlohmann::json& cr, const std::vector<Permit>& permits,
                              const IsOffered& is_offered);

// The resources of `permits` for which MakePlan() would ask `is_offered`.
absl::StatusOr<std::vector<std::string>> NeedNodes(const nlohmann::json& cr,
                                                   const std::vector<Permit>& permits);

}  // namespace dp::controller
