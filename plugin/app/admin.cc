// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/admin.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "plugin/base/status_macros.h"

// Whoever asks is served from memory, in the turns of the loop, so a hundred who ask at once cost
// the kubelet a hundred times some microseconds. What they could take is memory: each connection of
// gRPC has some tens of KiB. So few are served at a time.

namespace dp::app {
namespace {

constexpr std::chrono::seconds kPause{1};  // between two looks

std::string TextOf(const log::Value& value) {
  return std::visit(
      [](const auto& held) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, base::Reason>) {
          return std::string(base::WordOf(held));
        } else {
          return fmt::format("{}", held);
        }
      },
      value.get());
}

std::optional<core::PodName> PodOf(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  return core::PodName{.space = std::string(text.substr(0, slash)),
                       .name = std::string(text.substr(slash + 1))};
}

}  // namespace

absl::Status Admin::Listen(const std::string& path, std::int64_t gid) {
  ASSIGN_OR_RETURN(
      server_,
      server::AdminServer::Create(
          parts_.loop, {.board = [this]() -> const core::StatusBoard& { return Board(); },
                        .facts = parts_.facts,
                        .statistics = parts_.statistics,
                        .timers = parts_.timers,
                        .release =
                            [this](std::uint64_t base, const server::AdminServer::Released& done) {
                              parts_.broker.Release(base, done);
                            }}));
  ASSIGN_OR_RETURN(listener_, os::BoundedListener::Create(parts_.loop, path, gid, {},
                                                          [this](base::UniqueFd connection) {
                                                            server_->Serve(std::move(connection));
                                                          }));
  return absl::OkStatus();
}

void Admin::Changed() {
  if (stopped_ || std::exchange(look_due_, true)) return;
  parts_.timers.CallAfter(kPause, [this] { Look(); });
}

void Admin::Look() {
  if (stopped_) return;
  Board();
  look_due_ = false;
  if (server_ && std::exchange(told_, board_.revision()) != board_.revision()) server_->SendState();
}

const core::StatusBoard& Admin::Board() {
  if (look_due_) board_.Update(parts_.broker.Describe(), parts_.timers.WallMs());
  return board_;
}

void Admin::Touch() {
  board_.Touch();
  Changed();
}

core::Occurrence Admin::OccurrenceOf(log::Level level, std::string_view message, log::Fields fields,
                                     std::int64_t now_ms) {
  core::Occurrence occurrence{.time_ms = now_ms, .warning = level != log::Level::kInfo};
  std::string details;
  std::string error;
  for (const log::Field& field : fields) {
    if (const auto* reason = std::get_if<base::Reason>(&field.value.get())) {
      occurrence.reason = *reason;
    } else if (field.key == "device") {
      occurrence.device = TextOf(field.value);
    } else if (field.key == "resource") {
      occurrence.resource = TextOf(field.value);
    } else if (field.key == "pod") {
      occurrence.pod = PodOf(TextOf(field.value));
    } else if (field.key == "error" || field.key == "text") {
      error = ": " + TextOf(field.value);
    } else {
      details += fmt::format(", {} {}", field.key, TextOf(field.value));
    }
  }
  occurrence.message = fmt::format("{}{}{}", message, details, error);
  return occurrence;
}

void Admin::Note(core::Occurrence occurrence) {
  board_.Note(std::move(occurrence));
  Changed();
}

void Admin::Stop(std::function<void()> stopped) {
  stopped_ = true;
  listener_.reset();
  if (!server_) {
    parts_.loop.Post(std::move(stopped));
    return;
  }
  shutdown_ = std::jthread([this, stopped = std::move(stopped)] {
    server_->Shutdown();
    parts_.loop.Post(stopped);
  });
}

}  // namespace dp::app
