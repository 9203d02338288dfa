// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "plugin/ctl/answer.h"
#include "plugin/ctl/node.h"
#include "plugin/ctl/output.h"

namespace dp::ctl {

// `doorbellctl list`: every device, and what is left over.
Answer ShowList(const Node& node, const Style& style);

// `doorbellctl describe`: all that is known of the devices that `name` means: a PCI address, the
// number of an IOMMU group, or namespace/pod. kExitNo: there is no such device; says so.
Answer ShowDevices(const Node& node, const std::string& name, const Style& style);

}  // namespace dp::ctl
