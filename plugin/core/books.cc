// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/books.h"

#include <fmt/format.h>

#include <utility>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"

// The order is that of promises: what a pod is told must be in the ledger, and what is in the
// ledger must be in the kernel. A daemon that is killed in between leaves a group with a window
// that the ledger does not have, which is found at the next start (Reservations::Adopt).

namespace dp::core {

absl::Status Books::Open(const Inventory& inventory, Mode mode, Reservations::Time now) {
  absl::StatusOr<Ledger> ledger = desk_.ledger.Load();
  if (ledger.ok()) {
    const bool rebooted = ledger->boot_id != desk_.boot_id;
    generation_ = ledger->generation;
    reservations_.Restore(*ledger, rebooted, now);
    log::Info("ledger read",
              {{"reservations", ledger->reservations.size()}, {"rebooted", rebooted}});
  } else if (absl::IsDataLoss(ledger.status())) {
    log::Error("ledger set aside",
               {{"reason", base::Reason::kLedgerUnreadable}, {"error", ledger.status()}});
  } else if (!absl::IsNotFound(ledger.status())) {
    return ledger.status();
  }
  // What is in the pool of one who observes is somebody else's.
  if (mode == Mode::kEnforce) {
    const std::size_t adopted = reservations_.Adopt(inventory, desk_.catalogue.offers(), now);
    if (adopted > 0) log::Info("windows adopted", {{"windows", adopted}});
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, desk_.settings.Keys());
  reservations_.AdoptSettings(keys, inventory, desk_.catalogue.offers(), now);
  return Save();
}

Allocation Books::MakeAllocation(std::size_t resource, std::span<const Target> targets) const {
  Allocation allocation{.resource = desk_.catalogue.offers()[resource].resource,
                        .holdings = {},
                        .cdi = IsByCdi(resource, targets),
                        .since_ms = desk_.timers.WallMs()};
  for (const Target& target : targets) {
    allocation.holdings.push_back({.device = target.offer.id,
                                   .group = target.group.number,
                                   .members = MembersOf(target.group),
                                   .reserved = desk_.catalogue.CanSteer(target)});
  }
  return allocation;
}

absl::StatusOr<Books::Entry> Books::Enter(std::size_t resource, std::span<const Target> targets,
                                          std::optional<Window> window, Reservations::Time now) {
  Allocation allocation = MakeAllocation(resource, targets);
  // Not as the record from here on, whatever comes of it.
  saved_ = false;
  ASSIGN_OR_RETURN(Entry entry, WriteSettings(resource, targets));
  const absl::Status status = SaveLedger(reservations_.SnapshotAfter(window, allocation));
  if (!status.ok()) {
    // Unless they are those of a former allocation, whose end removes them.
    if (reservations_.Find(allocation.key()).lease == nullptr) {
      desk_.settings.Remove(allocation.key()).IgnoreError();
    }
    return Because(base::Reason::kLedgerNotWritten, status);
  }
  reservations_.Commit(window, std::move(allocation), now);
  saved_ = true;
  return entry;
}

absl::StatusOr<Books::Entry> Books::WriteSettings(std::size_t resource,
                                                  std::span<const Target> targets) {
  Settings settings = MakeSettings(resource, targets);
  auto directory = desk_.settings.Put(targets.front().offer.id, settings);
  if (!directory.ok()) return Because(base::Reason::kSettingsNotWritten, directory.status());
  return Entry{.settings = std::move(settings), .directory = *std::move(directory)};
}

absl::Status Books::Save() {
  if (saved_) return absl::OkStatus();
  RETURN_IF_ERROR(SaveLedger(reservations_.Snapshot()));
  saved_ = true;
  return absl::OkStatus();
}

absl::Status Books::SaveLedger(std::vector<Reservation> reservations) {
  absl::Status status = desk_.ledger.Save(NextLedger(std::move(reservations)));
  error_ = std::string(status.message());
  return status;
}

Ledger Books::NextLedger(std::vector<Reservation> reservations) {
  ++generation_;
  return {
      .generation = generation_, .boot_id = desk_.boot_id, .reservations = std::move(reservations)};
}

// As the kubelet was answered, if it was.
bool Books::IsByCdi(std::size_t resource, std::span<const Target> targets) const {
  const Allocation* known = reservations_.Find(targets.front().offer.id).allocation;
  return known != nullptr ? known->cdi : desk_.catalogue.resource(resource).cdi;
}

Settings Books::MakeSettings(std::size_t resource, std::span<const Target> targets) const {
  Settings settings{.resource = desk_.catalogue.offers()[resource].resource,
                    // What is not saved yet will be before a container reads this.
                    .generation = generation_ + (saved_ ? 0 : 1),
                    .mode = Mode::kEnforce,
                    .mode_reason = {},
                    .window = targets.front().group.window,
                    .page_size = desk_.page_size,
                    .groups = {},
                    .device_nodes = desk_.catalogue.NodesOf(resource, targets),
                    .cdi = IsByCdi(resource, targets)};
  for (const Target& target : targets) {
    if (std::string reason = desk_.catalogue.ObserveReason(target);
        !reason.empty() && settings.mode == Mode::kEnforce) {
      settings.mode = Mode::kObserve;
      settings.mode_reason = std::move(reason);
    }
    if (target.group.window != settings.window) settings.window = std::nullopt;
    settings.groups.push_back(DescribeGroup(target, target.group.window));
  }
  return settings;
}

}  // namespace dp::core
