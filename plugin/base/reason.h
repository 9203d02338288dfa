// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

// Why something is as an administrator may not want it: one word for each failure that is handled.
// The same word is in the log (reason=...), in metrics, in what doorbellctl shows, and, in camel
// case, in Events. docs/troubleshooting.md has an entry for each; scripts/check-reasons compares.
namespace dp::base {

enum class Reason {
  // A device that is not offered as healthy.
  kNoDriver,
  kForeignDriver,
  kForeignSibling,
  kGraceWindowMoved,
  kNoIommufd,
  kNoDeviceNode,
  kDriverChanging,
  kDriverBlocks,
  kDeviceGone,
  // A call of the kubelet that is refused.
  kBadRequest,
  kNoSuchDevice,
  kDeviceNotReady,
  kGroupChanged,
  kGroupBusy,
  kNoWindowFree,
  kWindowNotSet,
  kSettingsNotWritten,
  kLedgerNotWritten,
  kDaemonEnds,
  kYoungerDaemon,
  // Whose a device is.
  kPodNotListed,
  kPodListedTwice,
  kPodsSlow,
  kPodsAbsent,
  kPodsFailed,
  kNotInRecord,
  kWindowDiffered,
  kJoinFailed,
  // A window on its way.
  kWindowReserved,
  kPodGone,
  kReleasedByHand,
  kReleasedLate,
  kResetRefused,
  kPutBackRefused,
  kSettingsNotRemoved,
  kLedgerUnreadable,
  // What the daemon works on.
  kNoKnob,
  kNoSoftwareWindow,
  kKnobNotWritable,
  kObserveMode,
  kHostNotRead,
  kNotReadable,
  kSelectorsClash,
  kConfigInvalid,
  kConfigDoesNotFit,
  kConfigNotWatched,
  kNoUevents,
  kInotifyRefused,
  kFolderGone,
  kNoPluginsRegistry,
  kNotRegistered,
  kNotListening,
  kNodeHook,
  // Drivers that it binds.
  kNotBound,
  kNotGivenBack,
  kDriverHeld,
  kDriversNotRecorded,
  kDriversUnreadable,
};

inline constexpr std::size_t kReasons = static_cast<std::size_t>(Reason::kDriversUnreadable) + 1;

// "group_busy".
std::string_view WordOf(Reason reason);
// "GroupBusy", as the reasons of Kubernetes are spelt.
std::string CamelCaseOf(Reason reason);

// The same status, which knows why from now on. Of a reason that it has already, nothing changes:
// who has been nearer knows better.
absl::Status Because(Reason reason, absl::Status status);
// `status` with the reason of `cause`, if that has one.
absl::Status InsteadOf(const absl::Status& cause, absl::Status status);
// What Because() has said. Empty: nothing.
std::optional<Reason> ReasonOf(const absl::Status& status);

}  // namespace dp::base
