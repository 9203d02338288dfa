// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "plugin/core/config.h"

namespace dp::core {

// How a running daemon gets from one configuration to another.
struct ConfigChange {
  // The new one. Resources keep their places in the list, by their names; one that is gone keeps it
  // too, without selectors, so that it offers nothing.
  Config config;
  std::vector<std::size_t> added;    // places of those that are served from now on
  std::vector<std::size_t> removed;  // places of those that are not any more
};

// Pure. `current` is the configuration of a former change, or the first one.
ConfigChange PlanChange(const Config& current, Config next);

}  // namespace dp::core
