// SPDX-License-Identifier: Apache-2.0
#include "plugin/base/log.h"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <iterator>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

// spdlog contributes the clock, the level filter and a sink that is safe across threads; what a
// record looks like is decided here, because a log line must survive hostile text (a device name, a
// file's content) and spdlog does not escape.
namespace dp::log {
namespace {

// In spdlog's pattern language; %v is the payload written below.
constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
constexpr const char* kJsonPattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";

// The length of the well-formed UTF-8 sequence at the start of `text`, 0 if there is none (RFC
// 3629: no overlong form, no surrogate, nothing above U+10FFFF).
std::size_t Utf8SequenceLength(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](std::size_t i, unsigned char low = 0x80, unsigned char high = 0xbf) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const unsigned char low = lead == 0xe0 ? 0xa0 : 0x80;
    const unsigned char high = lead == 0xed ? 0x9f : 0xbf;
    return continues(1, low, high) && continues(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const unsigned char low = lead == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xf4 ? 0x8f : 0xbf;
    return continues(1, low, high) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

// Appends the inside of a JSON string (RFC 8259): always valid UTF-8, never a control character.
void AppendEscaped(std::string_view text, fmt::memory_buffer& out) {
  while (!text.empty()) {
    const std::size_t length = Utf8SequenceLength(text);
    const char first = text.front();
    if (length == 0) {
      out.append(std::string_view("\\ufffd"));
    } else if (first == '"' || first == '\\') {
      out.push_back('\\');
      out.push_back(first);
    } else if (first == '\n') {
      out.append(std::string_view("\\n"));
    } else if (length == 1 && (static_cast<unsigned char>(first) < 0x20 || first == 0x7f)) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(first));
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

void AppendQuoted(std::string_view text, fmt::memory_buffer& out) {
  out.push_back('"');
  AppendEscaped(text, out);
  out.push_back('"');
}

bool IsPlainWord(std::string_view text) {
  for (const char c : text) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
      return false;  // bytes above 0x7f are negative
  }
  return !text.empty();
}

void AppendTextValue(std::string_view text, fmt::memory_buffer& out) {
  IsPlainWord(text) ? out.append(text) : AppendQuoted(text, out);
}

// Numbers and booleans look the same in both formats.
template <typename AppendString>
void AppendValue(const Value& value, fmt::memory_buffer& out, AppendString append_string) {
  std::visit(
      [&](const auto& held) {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, std::string_view>) {
          append_string(held, out);
        } else if constexpr (std::is_same_v<std::decay_t<decltype(held)>, base::Reason>) {
          append_string(base::WordOf(held), out);
        } else {
          fmt::format_to(std::back_inserter(out), "{}", held);
        }
      },
      value.get());
}

void AppendText(std::string_view message, Fields fields, fmt::memory_buffer& out) {
  AppendEscaped(message, out);
  for (const Field& field : fields) {
    out.push_back(' ');
    AppendEscaped(field.key, out);
    out.push_back('=');
    AppendValue(field.value, out, AppendTextValue);
  }
}

void AppendJson(std::string_view message, Fields fields, fmt::memory_buffer& out) {
  out.append(std::string_view(R"("message":)"));
  AppendQuoted(message, out);
  for (const Field& field : fields) {
    out.push_back(',');
    AppendQuoted(field.key, out);
    out.push_back(':');
    AppendValue(field.value, out, AppendQuoted);
  }
}

spdlog::level::level_enum ToSpdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
    case Level::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::err;
}

// The log is the one process-wide object of the daemon: a record may be due anywhere, and standard
// error is process-wide too.
class Log {
 public:
  Log() : logger_("", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    Configure(Level::kInfo, Format::kText);
  }

  void Configure(Level lowest, Format format) {
    format_ = format;
    logger_.set_formatter(std::make_unique<spdlog::pattern_formatter>(
        format == Format::kJson ? kJsonPattern : kTextPattern, spdlog::pattern_time_type::utc,
        "\n"));
    logger_.set_level(ToSpdlog(lowest));
  }

  void Write(Level level, std::string_view message, Fields fields) {
    Note(level, message, fields);
    if (!logger_.should_log(ToSpdlog(level))) return;
    fmt::memory_buffer payload;
    format_ == Format::kJson ? AppendJson(message, fields, payload)
                             : AppendText(message, fields, payload);
    logger_.log(ToSpdlog(level), spdlog::string_view_t(payload.data(), payload.size()));
  }

  [[nodiscard]] std::uint64_t CountOf(base::Reason reason) const {
    return counts_[static_cast<std::size_t>(reason)];
  }
  void Observe(Observer observer) { observer_ = std::move(observer); }

 private:
  void Note(Level level, std::string_view message, Fields fields) {
    if (level == Level::kDebug) return;
    for (const Field& field : fields) {
      const auto* reason = std::get_if<base::Reason>(&field.value.get());
      if (reason == nullptr) continue;
      if (level != Level::kInfo) ++counts_[static_cast<std::size_t>(*reason)];
      if (observer_) observer_(level, message, fields);
      return;
    }
  }

  spdlog::logger logger_;
  Format format_ = Format::kText;
  std::array<std::atomic<std::uint64_t>, base::kReasons> counts_{};
  Observer observer_;
};

Log& TheLog() {
  // Never destroyed: a thread of gRPC may still log while the process exits.
  static Log& log = *new Log;
  return log;
}

}  // namespace

std::optional<Level> ParseLevel(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, Level>, 4> kLevels{
      {{"debug", Level::kDebug},
       {"info", Level::kInfo},
       {"warning", Level::kWarning},
       {"error", Level::kError}}};
  for (const auto& [known, level] : kLevels) {
    if (name == known) return level;
  }
  return std::nullopt;
}

std::optional<Format> ParseFormat(std::string_view name) {
  if (name == "text") return Format::kText;
  if (name == "json") return Format::kJson;
  return std::nullopt;
}

void Configure(Level lowest, Format format) { TheLog().Configure(lowest, format); }
void Debug(std::string_view message, Fields fields) {
  TheLog().Write(Level::kDebug, message, fields);
}
void Info(std::string_view message, Fields fields) {
  TheLog().Write(Level::kInfo, message, fields);
}
void Warning(std::string_view message, Fields fields) {
  TheLog().Write(Level::kWarning, message, fields);
}
void Error(std::string_view message, Fields fields) {
  TheLog().Write(Level::kError, message, fields);
}

std::uint64_t CountOf(base::Reason reason) { return TheLog().CountOf(reason); }
void Observe(Observer observer) { TheLog().Observe(std::move(observer)); }

}  // namespace dp::log
