// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "plugin/core/config.h"

namespace dp::config {

// Reads and validates the text of a configuration file. A pure function: neither the file nor the
// host is looked at. `file_name` is for messages. InvalidArgument: one line for each thing that is
// wrong, "FILE:LINE: KEY.PATH: REASON".
absl::StatusOr<core::Config> ParseConfig(std::string_view text, std::string_view file_name);

}  // namespace dp::config
