// SPDX-License-Identifier: Apache-2.0
#include "plugin/base/parse.h"

#include <charconv>
#include <system_error>

namespace dp::base {

std::optional<std::uint64_t> ParseDigits(std::string_view digits, int radix,
                                         std::uint64_t maximum) {
  std::uint64_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stopped_at, error] = std::from_chars(digits.data(), end, value, radix);
  if (error != std::errc{} || stopped_at != end || value > maximum) return std::nullopt;
  return value;
}

}  // namespace dp::base
