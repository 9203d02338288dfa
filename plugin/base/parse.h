// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

// Strict numbers. The whole text must be the number: no sign, no white space, nothing after it;
// empty is not a number, and what does not fit the type is refused, not wrapped.
namespace dp::base {

// `radix` is 10 or 16; hexadecimal digits of either case, without a prefix.
std::optional<std::uint64_t> ParseDigits(std::string_view digits, int radix, std::uint64_t maximum);

// "42". Leading zeros are decimal zeros, never octal.
template <std::unsigned_integral T>
std::optional<T> ParseDecimal(std::string_view text) {
  const auto value = ParseDigits(text, 10, std::numeric_limits<T>::max());
  return value ? std::optional<T>(static_cast<T>(*value)) : std::nullopt;
}

// "1b36" or "0x1b36".
template <std::unsigned_integral T>
std::optional<T> ParseHex(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  const auto value = ParseDigits(text, 16, std::numeric_limits<T>::max());
  return value ? std::optional<T>(static_cast<T>(*value)) : std::nullopt;
}

// "0x2a" or "42": the prefix tells.
template <std::unsigned_integral T>
std::optional<T> ParseNumber(std::string_view text) {
  return text.starts_with("0x") || text.starts_with("0X") ? ParseHex<T>(text)
                                                          : ParseDecimal<T>(text);
}

}  // namespace dp::base
