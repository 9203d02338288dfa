// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/core/ledger.h"
#include "plugin/core/window.h"

// How things are written: for people in tables, for programs as api/ctl/v1.schema.json says.
namespace dp::ctl {

enum class Format { kTable, kWide, kJson, kYaml };

struct Style {
  Format format = Format::kTable;
  bool has_colour = false;
  std::int64_t now_ms = 0;  // for ages

  [[nodiscard]] bool is_for_programs() const {
    return format == Format::kJson || format == Format::kYaml;
  }
};

// JSON with a newline at its end, or the same in YAML.
std::string Render(const nlohmann::ordered_json& document, Format format);

enum class Tone { kPlain, kBad, kDoubtful, kGood };

struct Cell {
  std::string text;
  Tone tone = Tone::kPlain;
};

// Columns below their headings, two spaces apart. What a terminal would obey is shown as "?".
std::string Table(const std::vector<std::string>& headings,
                  const std::vector<std::vector<Cell>>& rows, const Style& style);

// A text in its colour, if there are colours.
std::string Paint(std::string_view text, Tone tone, const Style& style);

// With "?" for each byte that a terminal would obey.
std::string Printable(std::string_view text);

// "0x09100000+0x100000"; "-": none.
std::string ShowWindow(const std::optional<core::Window>& window);
// "default/vm-a"; "-": none.
std::string ShowPod(const std::optional<core::PodName>& pod);
// "3h", as kubectl shows ages; "-": not known.
std::string ShowAge(std::int64_t since_ms, std::int64_t now_ms);
// "2026-11-26T15:39:19Z".
std::string ShowTime(std::int64_t time_ms);

}  // namespace dp::ctl
