// SPDX-License-Identifier: Apache-2.0
#include "plugin/base/reason.h"

#include <utility>

#include "absl/strings/cord.h"

namespace dp::base {
namespace {

// In the order of the enumeration.
constexpr std::array<std::string_view, kReasons> kWords{
    "no_driver",
    "foreign_driver",
    "foreign_sibling",
    "grace_window_moved",
    "no_iommufd",
    "no_device_node",
    "driver_changing",
    "driver_blocks",
    "device_gone",
    "bad_request",
    "no_such_device",
    "device_not_ready",
    "group_changed",
    "group_busy",
    "no_window_free",
    "window_not_set",
    "settings_not_written",
    "ledger_not_written",
    "daemon_ends",
    "younger_daemon",
    "pod_not_listed",
    "pod_listed_twice",
    "pods_slow",
    "pods_absent",
    "pods_failed",
    "not_in_record",
    "window_differed",
    "join_failed",
    "window_reserved",
    "pod_gone",
    "released_by_hand",
    "released_late",
    "reset_refused",
    "put_back_refused",
    "settings_not_removed",
    "ledger_unreadable",
    "no_knob",
    "no_software_window",
    "knob_not_writable",
    "observe_mode",
    "host_not_read",
    "not_readable",
    "selectors_clash",
    "config_invalid",
    "config_does_not_fit",
    "config_not_watched",
    "no_uevents",
    "inotify_refused",
    "folder_gone",
    "no_plugins_registry",
    "not_registered",
    "not_listening",
    "node_hook",
    "not_bound",
    "not_given_back",
    "driver_held",
    "drivers_not_recorded",
    "drivers_unreadable",
};
static_assert(!kWords.back().empty());

constexpr char kPayload[] = "vfio-doorbell/reason";

}  // namespace

std::string_view WordOf(Reason reason) { return kWords[static_cast<std::size_t>(reason)]; }

std::string CamelCaseOf(Reason reason) {
  std::string text;
  bool upper = true;
  for (const char c : WordOf(reason)) {
    if (c != '_') text += upper ? static_cast<char>(c - 'a' + 'A') : c;
    upper = c == '_';
  }
  return text;
}

absl::Status Because(Reason reason, absl::Status status) {
  if (!status.ok() && !status.GetPayload(kPayload).has_value())
    status.SetPayload(kPayload, absl::Cord(std::string(1, static_cast<char>(reason))));
  return status;
}

absl::Status InsteadOf(const absl::Status& cause, absl::Status status) {
  const std::optional<Reason> reason = ReasonOf(cause);
  return reason ? Because(*reason, std::move(status)) : status;
}

std::optional<Reason> ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  if (!payload.has_value() || payload->size() != 1) return std::nullopt;
  return static_cast<Reason>(std::string(*payload).front());
}

}  // namespace dp::base
