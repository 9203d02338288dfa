// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/output.h"

#include <fmt/chrono.h>
#include <fmt/color.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <nlohmann/json.hpp>

#include "plugin/yaml/write.h"

namespace dp::ctl {
namespace {

fmt::text_style ColourOf(Tone tone) {
  switch (tone) {
    case Tone::kBad:
      return fmt::fg(fmt::terminal_color::red);
    case Tone::kDoubtful:
      return fmt::fg(fmt::terminal_color::yellow);
    case Tone::kGood:
      return fmt::fg(fmt::terminal_color::green);
    case Tone::kPlain:
      break;
  }
  return {};
}

using Row = std::vector<Cell>;

void AddRow(const Row& row, const std::vector<std::size_t>& widths, const Style& style,
            std::string& text) {
  std::string line;
  for (std::size_t i = 0; i < row.size(); ++i) {
    line += Paint(row[i].text, row[i].tone, style);
    if (i + 1 < row.size()) line.append(widths[i] - row[i].text.size() + 2, ' ');
  }
  text += line + '\n';
}

}  // namespace

std::string Render(const nlohmann::ordered_json& document, Format format) {
  if (format == Format::kYaml) return yaml::Write(document);
  // Texts may be of any bytes, which a reader of JSON would refuse.
  constexpr auto kReplace = nlohmann::ordered_json::error_handler_t::replace;
  return document.dump(2, ' ', false, kReplace) + '\n';
}

std::string Printable(std::string_view text) {
  std::string shown(text);
  std::replace_if(
      shown.begin(), shown.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return shown;
}

std::string Paint(std::string_view text, Tone tone, const Style& style) {
  if (!style.has_colour || tone == Tone::kPlain) return std::string(text);
  return fmt::format(ColourOf(tone), "{}", text);
}

std::string Table(const std::vector<std::string>& headings, const std::vector<Row>& rows,
                  const Style& style) {
  std::vector<Row> all;
  all.reserve(rows.size() + 1);
  Row& first = all.emplace_back();
  for (const std::string& heading : headings) first.push_back({.text = heading});
  std::vector<std::size_t> widths;
  for (const std::string& heading : headings) widths.push_back(heading.size());
  for (const Row& row : rows) {
    Row& shown = all.emplace_back(row);
    for (std::size_t i = 0; i < shown.size(); ++i) {
      shown[i].text = shown[i].text.empty() ? "-" : Printable(shown[i].text);
      widths[i] = std::max(widths[i], shown[i].text.size());
    }
  }
  std::string text;
  for (const Row& row : all) AddRow(row, widths, style, text);
  return text;
}

std::string ShowWindow(const std::optional<core::Window>& window) {
  return window ? fmt::format("{:#010x}+{:#x}", window->base, window->size) : "-";
}

std::string ShowPod(const std::optional<core::PodName>& pod) {
  return pod ? fmt::format("{}/{}", pod->space, pod->name) : "-";
}

std::string ShowAge(std::int64_t since_ms, std::int64_t now_ms) {
  if (since_ms <= 0) return "-";
  const std::int64_t seconds = std::max<std::int64_t>(now_ms - since_ms, 0) / 1000;
  constexpr std::int64_t kMinute = 60;
  constexpr std::int64_t kHour = 60 * kMinute;
  constexpr std::int64_t kDay = 24 * kHour;
  if (seconds < 2 * kMinute) return fmt::format("{}s", seconds);
  if (seconds < 2 * kHour) return fmt::format("{}m", seconds / kMinute);
  if (seconds < 2 * kDay) return fmt::format("{}h", seconds / kHour);
  return fmt::format("{}d", seconds / kDay);
}

std::string ShowTime(std::int64_t time_ms) {
  // Of the years that a clock may say; a number from outside may be any.
  constexpr std::int64_t kMost = 253402300799000;  // the end of 9999
  const auto clamped = std::clamp<std::int64_t>(time_ms, 0, kMost);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(static_cast<std::time_t>(clamped / 1000)));
}

}  // namespace dp::ctl
