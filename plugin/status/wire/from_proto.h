// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api/admin/v1/api.pb.h"
#include "plugin/status/node_state.h"

namespace dp::status::wire {

// The daemon's message in plain values. Never fails: what is absent or not known is empty.
NodeState FromProto(const ::vfio_doorbell::admin::v1::NodeState& message);

}  // namespace dp::status::wire
