// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plugin/core/window.h"

// What is handed over and to whom, as it is kept over restarts of the daemon and of the host. Plain
// values.
namespace dp::core {

// "namespace" is a word of the language.
struct PodName {
  std::string space;
  std::string name;

  friend auto operator<=>(const PodName&, const PodName&) = default;
};

// One group of an allocation.
struct Holding {
  std::string device;       // ID of the advertised Device
  std::uint32_t group = 0;  // its number in the boot of the ledger
  std::string members;      // MembersOf() when it was handed over
  bool reserved = false;    // the window was written to it; false: it is observed only

  friend bool operator==(const Holding&, const Holding&) = default;
};

// The answer to one Allocate call.
struct Allocation {
  std::string resource;           // empty: taken over from the kernel, and no resource offers it
  std::vector<Holding> holdings;  // not empty, in the order of their devices
  // The answer, which the kubelet keeps, has the name of a CDI device and no device nodes. It stays
  // so whatever the configuration says later.
  bool cdi = false;
  // When it was handed over, in milliseconds since the Unix epoch; 0: not known.
  std::int64_t since_ms = 0;

  // What SettingsStore knows it by.
  [[nodiscard]] const std::string& key() const { return holdings.front().device; }

  friend bool operator==(const Allocation&, const Allocation&) = default;
};

// Allocations that share a window: those of one pod, once it is known.
struct Reservation {
  std::optional<Window> window;  // empty: nothing was written (observe mode)
  std::optional<PodName> pod;    // empty: not known (yet)
  std::vector<Allocation> allocations;
  // A container was let start with this window in this boot, or may have been: until the pod is
  // gone it is not moved any more.
  bool started = false;

  friend bool operator==(const Reservation&, const Reservation&) = default;
};

struct Ledger {
  // How often it has been written. Begins anew when a ledger was lost.
  std::uint64_t generation = 0;
  // Of the boot that the numbers of groups belong to: /proc/sys/kernel/random/boot_id.
  std::string boot_id;
  std::vector<Reservation> reservations;

  friend bool operator==(const Ledger&, const Ledger&) = default;
};

}  // namespace dp::core
