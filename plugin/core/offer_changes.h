// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "plugin/core/offers.h"

namespace dp::core {

void LogUnhealthy(std::string_view resource, const Offer& offer);

// Logs each device of the resource that came, went, fell ill (with the reason) or recovered between
// two lists, which are in the order of their IDs.
void LogChanges(std::string_view resource, std::span<const Offer> before,
                std::span<const Offer> after);

}  // namespace dp::core
