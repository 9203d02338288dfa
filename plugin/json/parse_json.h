// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"

namespace dp::json {

// What is more than that is refused before it is parsed.
struct Bounds {
  std::size_t bytes;
  // Of nested arrays and objects: the library parses without recursion, but dump() is recursive.
  int depth;
};

// A JSON text (RFC 8259) from somebody who is not trusted. InvalidArgument: it is none, or goes
// beyond a bound; a clause about "it", in one line of ASCII.
absl::StatusOr<nlohmann::json> Parse(std::string_view text, Bounds bounds);

}  // namespace dp::json
