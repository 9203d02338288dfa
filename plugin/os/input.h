// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace dp::os {

// What a person has named on a command line: the content of a file as ReadFile() has it, or, for
// "-", standard input to its end. OutOfRange: it has more than `max_bytes`. Each error names path
// or "standard input".
absl::StatusOr<std::string> ReadFileOrInput(const std::string& path, std::size_t max_bytes);

}  // namespace dp::os
