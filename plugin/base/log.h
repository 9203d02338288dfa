// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "plugin/base/reason.h"

// Structured log on standard error: one line per record, written at once by the calling thread. Any
// thread may log.
//
//   log::Info("registered", {{"resource", resource.name}, {"devices", devices.size()}});
//
// The message is a constant that can be searched for; what varies goes into fields. A record is
//   2026-11-23T07:10:00.123Z info registered resource=vendor.example/nvme devices=3
// or, as JSON, an object with "time", "level", "message" and the fields. Bytes that are no text are
// escaped, so that one record is always one line, and JSON always valid, whatever a device calls
// itself.
namespace dp::log {

// kOff: nothing is logged. For tests that do what nobody would read about.
enum class Level { kDebug, kInfo, kWarning, kError, kOff };
enum class Format { kText, kJson };

// "debug", "info", "warning" or "error".
std::optional<Level> ParseLevel(std::string_view name);
// "text" or "json".
std::optional<Format> ParseFormat(std::string_view name);

// Of the whole process; call it before other threads log. Until then: kInfo, kText.
void Configure(Level lowest, Format format);

// What a field may hold. Refers to text, owns none: meant to live as long as one log call.
class Value {
 public:
  // NOLINTBEGIN(google-explicit-constructor): call sites list plain values.
  template <typename T>
  requires std::convertible_to<const T&, std::string_view> Value(const T& text)
      : value_(std::string_view(text)) {}
  template <std::signed_integral T>
  Value(T number) : value_(std::int64_t{number}) {}
  template <std::unsigned_integral T>
  Value(T number) : value_(std::uint64_t{number}) {}
  Value(bool flag) : value_(flag) {}
  // The message of the status; its code belongs to the caller's protocol, not to the reader of a
  // log.
  Value(const absl::Status& status)
      : value_(std::string_view(status.message().data(), status.message().size())) {}
  Value(base::Reason reason) : value_(reason) {}
  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] const auto& get() const { return value_; }

 private:
  std::variant<std::string_view, std::int64_t, std::uint64_t, bool, base::Reason> value_;
};

struct Field {
  std::string_view key;
  Value value;
};
using Fields = std::initializer_list<Field>;

void Debug(std::string_view message, Fields fields = {});
void Info(std::string_view message, Fields fields = {});
void Warning(std::string_view message, Fields fields = {});
void Error(std::string_view message, Fields fields = {});

// How many warnings and errors with this reason there were in this process, logged or not.
std::uint64_t CountOf(base::Reason reason);

// Gets each record that has a reason, whatever is logged, on the thread that logs it; what it is
// given is valid during the call. Empty: nobody. Call it before other threads log, and after they
// have ended.
using Observer = std::function<void(Level level, std::string_view message, Fields fields)>;
void Observe(Observer observer);

}  // namespace dp::log
