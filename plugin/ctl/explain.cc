// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "plugin/base/excerpt.h"
#include "plugin/base/parse.h"
#include "plugin/ctl/node_json.h"
#include "plugin/domain/guest_map.h"
#include "plugin/guest/examine.h"

namespace dp::ctl {
namespace {

std::string_view NameOf(guest::Judgement judgement) {
  switch (judgement) {
    case guest::Judgement::kAccept:
      return "accept";
    case guest::Judgement::kWarn:
      return "warn";
    case guest::Judgement::kReject:
      return "reject";
  }
  return "";
}

guest::Verdict JudgeWindow(const Guest& guest, const core::Window& window) {
  const guest::DeviceWindow device{.device = "a device of this guest", .window = window};
  const auto fixed = guest::Examine({}, {&device, 1}, guest.fixed);
  if (!fixed.ok()) {
    return {.judgement = guest::Judgement::kReject,
            .reason = std::string(fixed.status().message()),
            .met = {}};
  }
  guest::Verdict verdict = guest::Judge(window, guest.map);
  if (verdict.judgement == guest::Judgement::kAccept) {
    verdict.reason = domain::DoubtAbout(guest.domain, window);
    if (!verdict.reason.empty()) verdict.judgement = guest::Judgement::kWarn;
  }
  return verdict;
}

std::string Line(const WindowVerdict& item, std::string_view what) {
  const core::Window& windows = item.windows;
  std::string line = fmt::format("{:<7} {}", NameOf(item.verdict.judgement),
                                 guest::FormatRange(windows.base, windows.base + windows.size));
  if (!what.empty()) {
    line += fmt::format("  {} window{} {}", item.count, item.count == 1 ? "" : "s", what);
  }
  if (!item.verdict.reason.empty()) line += fmt::format(": {}", item.verdict.reason);
  return line;
}

nlohmann::ordered_json JsonOf(std::uint64_t start, std::uint64_t end) {
  return {{"start", fmt::format("{:#x}", start)}, {"end", fmt::format("{:#x}", end)}};
}

nlohmann::ordered_json JsonOf(const Guest& guest, const std::vector<WindowVerdict>& verdicts) {
  using Json = nlohmann::ordered_json;
  Json memory = Json::array();
  for (const guest::Range& range : guest.map) {
    memory.push_back(JsonOf(range.start, range.end));
    memory.back()["use"] = guest::UseName(range.use);
  }
  Json windows = Json::array();
  for (const WindowVerdict& item : verdicts) {
    const core::Window& window = item.windows;
    Json& row = windows.emplace_back(JsonOf(window.base, window.base + window.size));
    row["count"] = item.count;
    row["verdict"] = NameOf(item.verdict.judgement);
    row["reason"] = item.verdict.reason;
    const auto& met = item.verdict.met;
    row["met"] = met ? JsonOf(met->start, met->end) : Json();
  }
  return {{"apiVersion", kApiVersion},
          {"kind", "Explanation"},
          {"guest", guest.name},
          {"memory", std::move(memory)},
          {"unknownEnd", guest.unknown_end},
          {"windows", std::move(windows)}};
}

}  // namespace

std::vector<WindowVerdict> JudgePool(const Guest& guest, const core::Pool& pool) {
  std::vector<WindowVerdict> verdicts;
  const std::uint64_t count = (pool.end - pool.start) / pool.window_size;
  for (std::uint64_t i = 0; i < count; ++i) {
    const core::Window window{.base = pool.start + i * pool.window_size, .size = pool.window_size};
    guest::Verdict verdict = JudgeWindow(guest, window);
    if (!verdicts.empty() && verdicts.back().verdict.judgement == verdict.judgement &&
        verdicts.back().verdict.met == verdict.met &&
        verdicts.back().verdict.reason.empty() == verdict.reason.empty()) {
      verdicts.back().windows.size += window.size;
      ++verdicts.back().count;
    } else {
      verdicts.push_back({.windows = window, .count = 1, .verdict = std::move(verdict)});
    }
  }
  // The sentences are about the first window of each row so far.
  for (WindowVerdict& item : verdicts) item.verdict = JudgeWindow(guest, item.windows);
  return verdicts;
}

absl::StatusOr<core::Window> ParseWindowRange(std::string_view text) {
  const auto colon = text.find(':');
  const auto start = base::ParseNumber<std::uint64_t>(text.substr(0, colon));
  const auto end = colon == std::string_view::npos
                       ? std::nullopt
                       : base::ParseNumber<std::uint64_t>(text.substr(colon + 1));
  const std::string shown = base::Excerpt(text);
  if (!start || !end) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is no range such as 0x09100000:0x09200000", shown));
  }
  if (*start >= *end) {
    return absl::InvalidArgumentError(fmt::format("\"{}\" ends where it begins, or before", shown));
  }
  if (*start % core::kWindowGranule != 0 || *end % core::kWindowGranule != 0) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is not on the grid of {:#x} bytes on which the kernel places windows",
                    shown, core::kWindowGranule));
  }
  return core::Window{.base = *start, .size = *end - *start};
}

Answer Explain(const Guest& guest, const std::vector<WindowVerdict>& verdicts,
               std::string_view what, const Style& style) {
  Answer answer;
  const auto rejected = [](const WindowVerdict& item) {
    return item.verdict.judgement == guest::Judgement::kReject;
  };
  if (std::any_of(verdicts.begin(), verdicts.end(), rejected)) answer.exit_code = kExitNo;
  if (style.is_for_programs()) {
    answer.text = Render(JsonOf(guest, verdicts), style.format);
    return answer;
  }
  answer.text = fmt::format("{}\n", guest.name);
  for (const guest::Range& range : guest.map) {
    answer.text += fmt::format("{:<32} {}\n", guest::FormatRange(range.start, range.end),
                               guest::UseName(range.use));
  }
  if (!guest.unknown_end.empty()) {
    answer.text += fmt::format("where RAM ends cannot be told, because of {}\n", guest.unknown_end);
  }
  for (const WindowVerdict& item : verdicts) {
    answer.text += Line(item, what) + '\n';
  }
  return answer;
}

}  // namespace dp::ctl
