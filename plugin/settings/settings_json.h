// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "plugin/core/settings.h"

namespace dp::settings {

// The settings as the text of settings.json (api/settings/v1.schema.json), with a newline at its
// end.
std::string ToJson(const core::Settings& settings);

}  // namespace dp::settings
