// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/window.h"

#include <fmt/format.h>

#include <optional>

#include "plugin/base/parse.h"

namespace dp::core {
namespace {

// "0x" and digits; the kernel writes no other form.
std::optional<std::uint64_t> ParsePrefixedHex(std::string_view text) {
  if (!text.starts_with("0x")) return std::nullopt;
  return base::ParseHex<std::uint64_t>(text);
}

}  // namespace

std::string FormatWindow(Window window) {
  return fmt::format("{:#010x} {:#010x}", window.base, window.size);
}

absl::StatusOr<Window> ParseWindow(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  const auto space = text.find(' ');
  if (space != std::string_view::npos) {
    const auto base = ParsePrefixedHex(text.substr(0, space));
    const auto size = ParsePrefixedHex(text.substr(space + 1));
    if (base && size) return Window{.base = *base, .size = *size};
  }
  return absl::InvalidArgumentError("is not of the form \"0xBASE 0xSIZE\"");
}

}  // namespace dp::core
