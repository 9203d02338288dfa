// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "plugin/core/config.h"

namespace dp::config {

inline constexpr std::size_t kLongestConfigFile = 1 << 20;

// Reads and validates a configuration file. Every error names the file; for what is wrong in it see
// ParseConfig(). InvalidArgument: content. OutOfRange: larger than kLongestConfigFile. Else as
// os::ReadFile().
absl::StatusOr<core::Config> LoadConfigFile(const std::string& path);

}  // namespace dp::config
