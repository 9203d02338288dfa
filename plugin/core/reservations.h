// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/inventory.h"
#include "plugin/core/ports.h"
#include "plugin/core/window_pool.h"

namespace dp::core {

// A group of an allocation.
struct HeldGroup {
  std::string device;            // ID of the advertised Device
  std::uint32_t group = 0;       // its number in this boot
  std::string members;           // MembersOf() when it was handed over
  std::optional<Window> window;  // reserved for it; empty: nothing was written (observe mode)
  bool ended = false;            // its pod has gone, but the kernel refused to reset it so far
};

// All members of the group as one text, to be compared.
std::string MembersOf(const Group& group);

// The record of what was handed over, and of the windows of the pool.
//
// A reservation ends in one case only: the kubelet allocates one of its devices again, which it
// does for one pod at a time. The device plugin API has no release call, and any other guess could
// take the window from a pod that is admitted but not started yet.
// docs/adr/2026-11-23-kernel-is-the-record.md
class Reservations {
 public:
  Reservations(Pool pool, MsiWindowKnob& knob, SettingsStore& settings);

  // At start: takes over every window of the pool that the kernel has in force, ours or not; groups
  // with the same window are one reservation. Returns how many windows.
  std::size_t Adopt(const Inventory& inventory);

  // What is handed over with the device now; null: nothing.
  [[nodiscard]] const HeldGroup* Find(const std::string& device) const;

  // The devices are being allocated again: ends the reservations they are part of. Groups of those
  // that are not among `devices` are reset, now or, if the kernel says that a VMM still owns them,
  // at one of the next calls.
  void EndFormer(std::span<const std::string> devices);

  // A window for an allocation of `devices`, to be followed by Commit() or GiveBack().
  // ResourceExhausted: names the pool, its size and its holders.
  absl::StatusOr<Window> TakeWindow(std::span<const std::string> devices);
  void GiveBack(Window window);

  // Records an allocation, in place of what its devices had before. `settings_key` is what
  // SettingsStore knows it by; `window` is empty if nothing was reserved.
  void Commit(std::optional<Window> window, std::vector<HeldGroup> holdings,
              std::string settings_key);
  // The window was to be given back, but is still in force in these groups.
  void KeepStuck(Window window, std::vector<HeldGroup> holdings);

 private:
  struct Reservation {
    std::optional<Window> window;
    std::vector<HeldGroup> holdings;
    std::string settings_key;  // empty: none known
  };

  void ResetEnded();
  [[nodiscard]] std::string DescribeHolders() const;
  bool ResetOne(const HeldGroup& holding);
  void DropEmpty(const std::string& settings_key_in_use);

  WindowPool pool_;
  MsiWindowKnob& knob_;
  SettingsStore& settings_;
  std::vector<Reservation> reservations_;
};

}  // namespace dp::core
