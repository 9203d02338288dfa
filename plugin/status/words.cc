// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/words.h"

#include <fmt/format.h>

#include <algorithm>

namespace dp::status {
namespace {

constexpr std::size_t kLongestReason = 128;
constexpr std::size_t kLongestName = 253;
constexpr std::string_view kMore = "...";

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::string CamelCase(std::string_view word) {
  std::string camel;
  bool first = true;
  for (const char c : word) {
    if (camel.size() == kLongestReason) break;
    if (IsLower(c) && first) {
      camel += static_cast<char>(c - 'a' + 'A');
    } else if (IsLower(c) || IsUpper(c) || IsDigit(c)) {
      camel += c;
    } else {
      first = true;
      continue;
    }
    first = false;
  }
  // A condition's reason begins with a letter.
  if (camel.empty() || IsDigit(camel.front())) return "Unknown";
  return camel;
}

std::string Bounded(std::string_view text, std::size_t most) {
  const bool is_cut = text.size() > most;
  std::string bounded(text.substr(0, is_cut ? most - std::min(most, kMore.size()) : text.size()));
  std::replace_if(
      bounded.begin(), bounded.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  if (is_cut) bounded += kMore;
  return bounded;
}

bool IsName(std::string_view text) {
  if (text.empty() || text.size() > kLongestName) return false;
  const auto is_alnum = [](char c) { return IsLower(c) || IsDigit(c); };
  if (!is_alnum(text.front()) || !is_alnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return is_alnum(c) || c == '-' || c == '.'; });
}

std::string WindowText(const Window& window) {
  return fmt::format("{:#010x} {:#010x}", window.base, window.size);
}

std::string_view NameOf(DeviceState state) {
  switch (state) {
    case DeviceState::kFree:
      return "Free";
    case DeviceState::kAllocated:
      return "Allocated";
    case DeviceState::kStarted:
      return "Started";
    case DeviceState::kUnhealthy:
      return "Unhealthy";
    case DeviceState::kUnknown:
      break;
  }
  return "Unknown";
}

std::string_view NameOf(Mode mode) {
  switch (mode) {
    case Mode::kEnforce:
      return "Enforce";
    case Mode::kObserve:
      return "Observe";
    case Mode::kUnknown:
      break;
  }
  return "Unknown";
}

}  // namespace dp::status
