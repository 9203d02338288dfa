// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/reservations.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "plugin/base/log.h"

// A window is claimed in the pool once by each lease that has it, and once for each group that
// still has it although its lease has ended. So it is free exactly when no living pod has it and no
// group maps doorbells there, whatever happened in between, and two owners cannot come about.

namespace dp::core {
namespace {

bool Contains(std::span<const std::string> devices, const std::string& device) {
  return std::find(devices.begin(), devices.end(), device) != devices.end();
}

std::vector<std::string> DevicesOf(const Allocation& allocation) {
  std::vector<std::string> devices;
  devices.reserve(allocation.holdings.size());
  for (const Holding& holding : allocation.holdings) devices.push_back(holding.device);
  return devices;
}

std::string ResourceOf(std::span<const ResourceOffers> offers, const std::string& device) {
  for (const ResourceOffers& resource : offers) {
    if (resource.Find(device) != nullptr) return resource.resource;
  }
  return {};
}

bool HasOnly(const Reservation& reservation, std::span<const std::string> devices) {
  return std::all_of(reservation.allocations.begin(), reservation.allocations.end(),
                     [&](const Allocation& allocation) {
                       return std::all_of(allocation.holdings.begin(), allocation.holdings.end(),
                                          [&](const Holding& holding) {
                                            return Contains(devices, holding.device);
                                          });
                     });
}

// Takes the devices out, and allocations that are empty then.
void RemoveDevices(Reservation& reservation, std::span<const std::string> devices) {
  for (Allocation& allocation : reservation.allocations) {
    std::erase_if(allocation.holdings,
                  [&](const Holding& holding) { return Contains(devices, holding.device); });
  }
  std::erase_if(reservation.allocations,
                [](const Allocation& allocation) { return allocation.holdings.empty(); });
}

std::set<PodName> HoldersOf(const Reservation& reservation, const PodIndex& pods) {
  std::set<PodName> holders;
  for (const Allocation& allocation : reservation.allocations) {
    holders.merge(pods.HoldersOf(allocation));
  }
  return holders;
}

}  // namespace

std::string MembersOf(const Group& group) {
  std::string members;
  for (const Function& function : group.functions) {
    if (!members.empty()) members += ' ';
    members += function.name;
  }
  return members;
}

std::string FormatPod(const PodName& pod) { return pod.space + "/" + pod.name; }

Reservations::Reservations(Pool pool, MsiWindowKnob& knob, SettingsStore& settings)
    : pool_(pool), knob_(knob), settings_(settings) {}

void Reservations::Restore(const Ledger& ledger, bool rebooted, Time now) {
  for (const Reservation& reservation : ledger.reservations) {
    if (reservation.allocations.empty()) continue;
    if (reservation.window) pool_.Claim(*reservation.window);
    // A device is once somebody's; else it is what somebody before has left.
    const Holding& first = reservation.allocations.front().holdings.front();
    if (reservation.window && Find(first.device).lease != nullptr) {
      leftovers_.push_back({.holding = first, .window = *reservation.window});
      continue;
    }
    leases_.push_back({.reservation = reservation, .last_seen = now});
    leases_.back().reservation.started &= !rebooted;
  }
}

std::size_t Reservations::Adopt(const Inventory& inventory, std::span<const ResourceOffers> offers,
                                Time now) {
  std::map<Window, Reservation> found;
  for (const Group& group : inventory.groups) {
    if (group.knob != Knob::kPresent || !group.window || !IsOurs(*group.window)) continue;
    const std::string device = DeviceIdOf(group);
    const bool left_over =
        std::any_of(leftovers_.begin(), leftovers_.end(), [&](const Leftover& leftover) {
          return leftover.holding.group == group.number && leftover.window == group.window;
        });
    if (left_over) continue;
    if (const Found known = Find(device); known.lease != nullptr) {
      if (known.lease->reservation.window == group.window && known.holding->group == group.number)
        continue;
      // The daemon ended between writing the group and writing the ledger, which is right: what it
      // does not say has not been promised to anybody.
      pool_.Claim(*group.window);
      leftovers_.push_back({.holding = {.device = device,
                                        .group = group.number,
                                        .members = MembersOf(group),
                                        .reserved = true},
                            .window = *group.window});
      continue;
    }
    Reservation& reservation = found[*group.window];
    reservation.window = group.window;
    reservation.allocations.push_back({.resource = ResourceOf(offers, device),
                                       .holdings = {{.device = device,
                                                     .group = group.number,
                                                     .members = MembersOf(group),
                                                     .reserved = true}}});
  }
  for (auto& [window, reservation] : found) {
    pool_.Claim(window);
    reservation.started = true;  // for all one knows
    leases_.push_back({.reservation = std::move(reservation), .last_seen = now});
  }
  return found.size();
}

// The pool may have been another one when it was written.
bool Reservations::IsOurs(const Window& window) const {
  return pool_.Overlaps(window) ||
         std::any_of(leases_.begin(), leases_.end(),
                     [&window](const Lease& lease) { return lease.reservation.window == window; });
}

void Reservations::AdoptSettings(std::span<const std::string> keys, const Inventory& inventory,
                                 std::span<const ResourceOffers> offers, Time now) {
  for (const std::string& key : keys) {
    if (Find(key).lease != nullptr) continue;
    Holding holding{.device = key, .group = 0, .members = {}, .reserved = false};
    for (const Group& group : inventory.groups) {
      if (DeviceIdOf(group) != key) continue;
      holding.group = group.number;
      holding.members = MembersOf(group);
    }
    Allocation allocation{.resource = ResourceOf(offers, key), .holdings = {std::move(holding)}};
    leases_.push_back({.reservation = {.window = std::nullopt,
                                       .pod = std::nullopt,
                                       .allocations = {std::move(allocation)}},
                       .last_seen = now});
  }
}

Reservations::Found Reservations::Find(const std::string& device) {
  for (Lease& lease : leases_) {
    for (const Allocation& allocation : lease.reservation.allocations) {
      for (const Holding& holding : allocation.holdings) {
        if (holding.device == device) return {&lease, &allocation, &holding};
      }
    }
  }
  return {};
}

void Reservations::Renumber(const std::string& device, std::uint32_t group) {
  for (Lease& lease : leases_) {
    for (Allocation& allocation : lease.reservation.allocations) {
      for (Holding& holding : allocation.holdings) {
        if (holding.device == device) holding.group = group;
      }
    }
  }
}

std::vector<Reservations::Lease*> Reservations::LeasesOf(const PodName& pod, const PodIndex& pods) {
  std::vector<Lease*> leases;
  for (Lease& lease : leases_) {
    if (HoldersOf(lease.reservation, pods).contains(pod)) leases.push_back(&lease);
  }
  return leases;
}

std::vector<Reservation> Reservations::Snapshot() const {
  std::vector<Reservation> reservations;
  reservations.reserve(leases_.size() + 1);
  for (const Lease& lease : leases_) reservations.push_back(lease.reservation);
  AddLeftovers(reservations);
  return reservations;
}

std::vector<Reservation> Reservations::SnapshotAfter(const std::optional<Window>& window,
                                                     const Allocation& allocation) const {
  const std::vector<std::string> devices = DevicesOf(allocation);
  std::vector<Reservation> reservations;
  reservations.reserve(leases_.size() + 1);
  for (const Lease& lease : leases_) reservations.push_back(lease.reservation);
  for (Reservation& reservation : reservations) RemoveDevices(reservation, devices);
  std::erase_if(reservations,
                [](const Reservation& reservation) { return reservation.allocations.empty(); });
  reservations.push_back({.window = window, .pod = std::nullopt, .allocations = {allocation}});
  AddLeftovers(reservations);
  return reservations;
}

// Last, so that Restore() tells them from what is somebody's.
void Reservations::AddLeftovers(std::vector<Reservation>& reservations) const {
  for (const Leftover& leftover : leftovers_) {
    Holding holding = leftover.holding;
    holding.reserved = true;
    reservations.push_back({.window = leftover.window,
                            .pod = std::nullopt,
                            .allocations = {{.resource = {}, .holdings = {std::move(holding)}}},
                            .started = true});
  }
}

void Reservations::EndFormer(std::span<const std::string> devices) {
  for (const std::string& device : devices) {
    if (Lease* lease = Find(device).lease; lease != nullptr) End(*lease, devices);
  }
  DropEmpty();
  ResetLeftovers();
}

// Of the devices in `but` the lease keeps a record: if their new allocation fails, their groups are
// as they were.
void Reservations::End(Lease& lease, std::span<const std::string> but) {
  Reservation& reservation = lease.reservation;
  for (Allocation& allocation : reservation.allocations) {
    for (const Holding& holding : allocation.holdings) {
      if (Contains(but, holding.device)) continue;
      // Of whichever allocation it was the first.
      RemoveSettings(holding.device);
      if (!holding.reserved || !reservation.window) continue;
      pool_.Claim(*reservation.window);
      leftovers_.push_back({.holding = holding, .window = *reservation.window});
    }
    std::erase_if(allocation.holdings,
                  [&](const Holding& holding) { return !Contains(but, holding.device); });
  }
  std::erase_if(reservation.allocations,
                [](const Allocation& allocation) { return allocation.holdings.empty(); });
  reservation.pod = std::nullopt;
  reservation.started = false;
}

void Reservations::DropEmpty() {
  std::erase_if(leases_, [this](const Lease& lease) {
    if (!lease.reservation.allocations.empty()) return false;
    if (lease.reservation.window) pool_.Release(*lease.reservation.window);
    return true;
  });
}

bool Reservations::Reconcile(const PodIndex& pods, Time asked,
                             std::chrono::steady_clock::duration grace) {
  bool changed = false;
  for (Lease& lease : leases_) {
    Reservation& reservation = lease.reservation;
    const std::set<PodName> holders = HoldersOf(reservation, pods);
    if (!holders.empty()) {
      lease.last_seen = std::max(lease.last_seen, asked);
      lease.told_held = false;
      if (holders.size() == 1 && reservation.pod != *holders.begin()) {
        reservation.pod = *holders.begin();
        changed = true;
      }
      continue;
    }
    if (asked - lease.last_seen < grace || !PutBack(lease)) continue;
    const std::string device = reservation.allocations.front().key();
    const std::string pod = reservation.pod ? FormatPod(*reservation.pod) : std::string("unknown");
    End(lease, {});
    log::Info("reservation ended",
              {{"reason", lease.told_held ? base::Reason::kReleasedLate : base::Reason::kPodGone},
               {"device", device},
               {"pod", pod}});
    changed = true;
  }
  DropEmpty();
  return changed;
}

// Puts its groups back to the default as far as the kernel lets it. False: a VMM holds one of them.
// Then the others have the default as well, which nobody notices: the start of a container writes
// what is reserved again.
bool Reservations::PutBack(Lease& lease) {
  if (!lease.reservation.window) return true;
  bool held = false;
  for (const Allocation& allocation : lease.reservation.allocations) {
    for (const Holding& holding : allocation.holdings) {
      absl::Status status;
      if (!holding.reserved ||
          Part(holding.device, holding.group, *lease.reservation.window, status) != Parting::kHeld)
        continue;
      held = true;
      if (std::exchange(lease.told_held, true)) continue;
      log::Warning("window still held",
                   {{"reason", base::Reason::kGroupBusy},
                    {"device", holding.device},
                    {"group", holding.group},
                    {"pod", lease.reservation.pod ? FormatPod(*lease.reservation.pod)
                                                  : std::string("unknown")},
                    {"error", status}});
    }
  }
  return !held;
}

void Reservations::SeeAll(Time now) {
  for (Lease& lease : leases_) lease.last_seen = std::max(lease.last_seen, now);
}

bool Reservations::ResetLeftovers() {
  return std::erase_if(leftovers_, [this](Leftover& leftover) {
           if (!ResetOne(leftover)) return false;
           pool_.Release(leftover.window);
           return true;
         }) > 0;
}

std::vector<LeftoverStatus> Reservations::DescribeLeftovers() const {
  std::vector<LeftoverStatus> statuses;
  for (const Leftover& leftover : leftovers_) {
    statuses.push_back({.device = leftover.holding.device,
                        .group = leftover.holding.group,
                        .window = leftover.window});
  }
  return statuses;
}

absl::StatusOr<std::vector<std::string>> Reservations::ReleaseWindow(std::uint64_t base,
                                                                     const PodIndex& pods) {
  const auto lease = std::find_if(leases_.begin(), leases_.end(), [base](const Lease& candidate) {
    return candidate.reservation.window && candidate.reservation.window->base == base;
  });
  if (lease == leases_.end()) {
    return absl::NotFoundError(fmt::format("no reservation has a window at {:#010x}", base));
  }
  if (const std::set<PodName> holders = HoldersOf(lease->reservation, pods); !holders.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("the window {} is that of pod {}, which the kubelet lists; delete the pod",
                    FormatWindow(*lease->reservation.window), FormatPod(*holders.begin())));
  }
  if (!PutBack(*lease)) {
    return absl::UnavailableError(fmt::format("a VMM holds a group that has the window {}",
                                              FormatWindow(*lease->reservation.window)));
  }
  std::vector<std::string> devices;
  for (const Allocation& allocation : lease->reservation.allocations) {
    const std::vector<std::string> some = DevicesOf(allocation);
    devices.insert(devices.end(), some.begin(), some.end());
  }
  log::Info("reservation ended", {{"reason", base::Reason::kReleasedByHand},
                                  {"device", devices.front()},
                                  {"window", FormatWindow(*lease->reservation.window)}});
  End(*lease, {});
  DropEmpty();
  ResetLeftovers();
  return devices;
}

void Reservations::SetPool(const Pool& pool) {
  pool_ = WindowPool(pool);
  for (const Lease& lease : leases_) {
    if (lease.reservation.window) pool_.Claim(*lease.reservation.window);
  }
  for (const Leftover& leftover : leftovers_) pool_.Claim(leftover.window);
}

bool Reservations::IsReserved(const Leftover& leftover) const {
  for (const Lease& lease : leases_) {
    if (lease.reservation.window != leftover.window) continue;
    for (const Allocation& allocation : lease.reservation.allocations) {
      for (const Holding& holding : allocation.holdings) {
        // The number alone may be another device's, of before a reboot.
        if (holding.reserved && holding.device == leftover.holding.device &&
            holding.group == leftover.holding.group)
          return true;
      }
    }
  }
  return false;
}

Reservations::Parting Reservations::Part(const std::string& device, std::uint32_t group,
                                         Window window, absl::Status& status) {
  const absl::StatusOr<Window> now = knob_.Read(group);
  // The group is gone, or its number is another one's, as after a reboot, or its window was moved
  // for somebody else. Windows that are claimed are in one place only, so this is no longer ours.
  if (absl::IsNotFound(now.status()) || (now.ok() && *now != window)) return Parting::kGone;
  status = now.ok() ? knob_.Reset(group) : now.status();
  if (status.ok() || absl::IsNotFound(status)) {
    log::Info("window released",
              {{"device", device}, {"group", group}, {"window", FormatWindow(window)}});
    return Parting::kGone;
  }
  return absl::IsUnavailable(status) ? Parting::kHeld : Parting::kRefused;
}

// Whether the group has let go of its window.
bool Reservations::ResetOne(Leftover& leftover) {
  // The pod of one that was meant to end has it again.
  if (IsReserved(leftover)) return true;
  absl::Status status;
  const Parting parting =
      Part(leftover.holding.device, leftover.holding.group, leftover.window, status);
  if (parting == Parting::kGone) return true;
  if (!std::exchange(leftover.told, true)) {
    log::Warning("window still held",
                 {{"reason", parting == Parting::kHeld ? base::Reason::kGroupBusy
                                                       : base::Reason::kResetRefused},
                  {"device", leftover.holding.device},
                  {"group", leftover.holding.group},
                  {"error", status}});
  }
  return false;
}

absl::StatusOr<Window> Reservations::TakeWindow(std::span<const std::string> devices) {
  if (const auto window = pool_.Take()) return *window;
  // The pool may be held by the very devices that are asked for; what they have has ended, so they
  // can have it again.
  for (const Lease& lease : leases_) {
    const auto& window = lease.reservation.window;
    if (!window || window->size != pool_.pool().window_size ||
        !HasOnly(lease.reservation, devices) || IsSharedWithOthers(lease))
      continue;
    pool_.Claim(*window);
    return *window;
  }
  return Because(
      base::Reason::kNoWindowFree,
      absl::ResourceExhaustedError(fmt::format(
          "all {} windows of {:#x} bytes of the pool [{:#010x}, {:#010x}) are reserved, by {}",
          pool_.size(), pool_.pool().window_size, pool_.pool().start, pool_.pool().end,
          DescribeHolders())));
}

// Whether somebody else has a part of its window, too, such as a VMM that has not let go.
bool Reservations::IsSharedWithOthers(const Lease& lease) const {
  const Window& window = *lease.reservation.window;
  const auto overlaps = [&window](const Window& other) {
    return other.base < window.base + window.size && window.base < other.base + other.size;
  };
  return std::any_of(leases_.begin(), leases_.end(),
                     [&](const Lease& other) {
                       return &other != &lease && other.reservation.window &&
                              overlaps(*other.reservation.window);
                     }) ||
         std::any_of(leftovers_.begin(), leftovers_.end(),
                     [&](const Leftover& leftover) { return overlaps(leftover.window); });
}

std::string Reservations::DescribeHolders() const {
  constexpr std::size_t kNamed = 4;
  std::vector<std::string> holders;
  for (const Lease& lease : leases_) {
    const Reservation& reservation = lease.reservation;
    if (!reservation.window) continue;
    holders.push_back(reservation.pod ? "pod " + FormatPod(*reservation.pod)
                                      : "device " + reservation.allocations.front().key());
  }
  for (const Leftover& leftover : leftovers_) {
    holders.push_back(fmt::format("device {}, whose pod has gone", leftover.holding.device));
  }
  const std::size_t count = holders.size();
  holders.resize(std::min(count, kNamed));
  std::string text = fmt::format("{}", fmt::join(holders, ", "));
  if (count > kNamed) text += fmt::format(" and {} more", count - kNamed);
  return text;
}

void Reservations::Commit(const std::optional<Window>& window, Allocation allocation, Time now) {
  const std::vector<std::string> devices = DevicesOf(allocation);
  for (Lease& lease : leases_) {
    for (const Allocation& former : lease.reservation.allocations) {
      // Else the new allocation's settings are there, or those of what is left.
      if (Contains(devices, former.key()) && former.key() != allocation.key())
        RemoveSettings(former.key());
    }
    RemoveDevices(lease.reservation, devices);
  }
  DropEmpty();
  leases_.push_back({.reservation = {.window = window,
                                     .pod = std::nullopt,
                                     .allocations = {std::move(allocation)}},
                     .last_seen = now});
}

void Reservations::GiveBack(Window window, const Allocation& allocation,
                            std::span<const std::uint32_t> stuck) {
  for (const Holding& holding : allocation.holdings) {
    if (std::find(stuck.begin(), stuck.end(), holding.group) == stuck.end()) continue;
    pool_.Claim(window);
    leftovers_.push_back({.holding = holding, .window = window});
  }
  pool_.Release(window);
}

void Reservations::Merge(Lease& into, Lease& from) {
  auto& allocations = from.reservation.allocations;
  into.last_seen = std::max(into.last_seen, from.last_seen);
  std::move(allocations.begin(), allocations.end(),
            std::back_inserter(into.reservation.allocations));
  allocations.clear();
  DropEmpty();
}

void Reservations::RemoveSettings(const std::string& key) {
  if (const absl::Status status = settings_.Remove(key); !status.ok()) {
    log::Warning("settings not removed",
                 {{"reason", base::Reason::kSettingsNotRemoved}, {"error", status}});
  }
}

}  // namespace dp::core
