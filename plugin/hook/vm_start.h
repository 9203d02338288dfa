// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/config.h"
#include "plugin/core/held_group.h"
#include "plugin/guest/vmi.h"

namespace dp::hook {

// What the daemon knows when a virtual machine is about to start.
struct NodeFacts {
  std::vector<std::string> resources;  // that are offered on the node
  core::Pool pool;
  std::vector<core::HeldGroup> held;  // of all pods that may be this machine's
};

// Whether the virtual machine may start with the windows that are in force. Writes nothing, so it
// may be asked as often as KubeVirt likes, also while QEMU has the groups. Returns what does not
// hinder it, a sentence each. FailedPrecondition: one sentence that names the device, the window
// and what is in its way.
absl::StatusOr<std::vector<std::string>> CheckVmStart(const guest::Vmi& vmi,
                                                      const NodeFacts& facts);

}  // namespace dp::hook
