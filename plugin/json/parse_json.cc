// SPDX-License-Identifier: Apache-2.0
#include "plugin/json/parse_json.h"

#include <fmt/format.h>

namespace dp::json {
namespace {

// Of what a parser would accept of the text.
bool IsTooDeep(std::string_view text, int most) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char byte = text[i];
    if (byte == '"') in_string = !in_string;
    if (in_string) {
      if (byte == '\\') ++i;
    } else if (byte == '[' || byte == '{') {
      if (++depth > most) return true;
    } else if (byte == ']' || byte == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<nlohmann::json> Parse(std::string_view text, Bounds bounds) {
  if (text.size() > bounds.bytes) {
    return absl::InvalidArgumentError(
        fmt::format("it has {} bytes, more than {}", text.size(), bounds.bytes));
  }
  if (IsTooDeep(text, bounds.depth)) {
    return absl::InvalidArgumentError(fmt::format("it is nested more than {} deep", bounds.depth));
  }
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    return absl::InvalidArgumentError(fmt::format("it is no JSON from byte {} on", error.byte));
  } catch (const nlohmann::json::exception&) {
    return absl::InvalidArgumentError("it has a number that is out of range");
  }
}

}  // namespace dp::json
