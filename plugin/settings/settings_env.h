// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "plugin/core/settings.h"

namespace dp::settings {

// The settings as environment variables, in a fixed order: VFIO_DOORBELL_WINDOW_BASE_<RESOURCE> and
// so on (docs/vmm.md). What there is none of, as a window in observe mode, is an empty value.
std::vector<std::pair<std::string, std::string>> ToVariables(const core::Settings& settings);

// The same as the text of settings.env: a line for each, as a POSIX shell reads it.
std::string ToEnv(const core::Settings& settings);

}  // namespace dp::settings
