// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "plugin/core/books.h"
#include "plugin/core/catalogue.h"
#include "plugin/core/config.h"
#include "plugin/core/node_status.h"
#include "plugin/core/reservations.h"

namespace dp::core {

// How things stand, from memory. Resource by resource, devices in the order of their IDs; then
// those that somebody has and nothing offers. Times are those that the ledger knows, else 0.
NodeStatus DescribeNode(const Config& config, const Catalogue& catalogue,
                        const Reservations& reservations, const Books& books);

}  // namespace dp::core
