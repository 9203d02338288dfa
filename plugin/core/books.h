// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/catalogue.h"
#include "plugin/core/grant.h"
#include "plugin/core/ports.h"
#include "plugin/core/reservations.h"
#include "plugin/core/settings.h"

namespace dp::core {

// The reservations in memory, in the ledger and in the settings of the containers, kept alike.
//
// Loop thread.
class Books {
 public:
  // What they are kept with; outlives them.
  struct Desk {
    const Catalogue& catalogue;
    SettingsStore& settings;
    LedgerStore& ledger;
    std::string boot_id;          // of this boot
    std::uint64_t page_size = 0;  // of the host, in bytes
    Timers& timers;
  };
  // What a container is to be told, and where it is.
  struct Entry {
    Settings settings;
    std::string directory;  // on the host
  };

  Books(Desk desk, Reservations& reservations)
      : desk_(std::move(desk)), reservations_(reservations) {}

  // At start: what the ledger has, and what the kernel has beyond that. A ledger that cannot be
  // read has been set aside, and what the kernel has is all there is.
  // Not Ok: the ledger can be neither read nor written; names the path.
  absl::Status Open(const Inventory& inventory, Mode mode, Reservations::Time now);

  // Enters an allocation of these targets, whose reserved groups have `window` now: first the
  // settings, then the ledger, then the record. Not Ok: nothing is entered; names the path.
  absl::StatusOr<Entry> Enter(std::size_t resource, std::span<const Target> targets,
                              std::optional<Window> window, Reservations::Time now);
  // Writes the settings of an allocation that is entered already.
  absl::StatusOr<Entry> WriteSettings(std::size_t resource, std::span<const Target> targets);
  // Writes the ledger, if it is not as the record. Not Ok: it is tried again the next time.
  absl::Status Save();
  // The record has been changed in another way than through Enter().
  void Changed() { saved_ = false; }
  [[nodiscard]] bool saved() const { return saved_; }
  [[nodiscard]] std::uint64_t generation() const { return generation_; }
  // Why the ledger could not be written the last time; empty: it could.
  [[nodiscard]] const std::string& error() const { return error_; }
  // Whether another daemon keeps them now.
  [[nodiscard]] bool IsTakenOver() const { return desk_.ledger.IsTakenOver(); }

  // An allocation as it would be entered.
  [[nodiscard]] Allocation MakeAllocation(std::size_t resource,
                                          std::span<const Target> targets) const;

 private:
  [[nodiscard]] bool IsByCdi(std::size_t resource, std::span<const Target> targets) const;
  [[nodiscard]] Settings MakeSettings(std::size_t resource, std::span<const Target> targets) const;

  // The ledger with these reservations, of the next generation.
  absl::Status SaveLedger(std::vector<Reservation> reservations);
  [[nodiscard]] Ledger NextLedger(std::vector<Reservation> reservations);

  Desk desk_;
  Reservations& reservations_;
  std::uint64_t generation_ = 0;  // of the ledger that was written last, or may have been
  bool saved_ = false;
  std::string error_;
};

}  // namespace dp::core
