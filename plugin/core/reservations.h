// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/inventory.h"
#include "plugin/core/ledger.h"
#include "plugin/core/node_status.h"
#include "plugin/core/offers.h"
#include "plugin/core/pod_index.h"
#include "plugin/core/ports.h"
#include "plugin/core/window_pool.h"

namespace dp::core {

// All members of the group as one text, to be compared.
std::string MembersOf(const Group& group);

// "namespace/name".
std::string FormatPod(const PodName& pod);

// The record of what is handed over, and of the windows of the pool.
//
// A reservation ends in two ways: the kubelet allocates one of its devices again, which it does for
// one pod at a time, or it has not listed a pod with them for the grace time and the kernel lets go
// of all its groups: EBUSY says that a VMM still holds one, so the pod is there, whatever the
// kubelet says. What the kernel does not let go of when a reservation ends is nobody's, and is put
// back to the kernel's default later. A window is free once no group has it any more.
// docs/adr/2026-11-24-windows-have-leases.md
class Reservations {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Lease {
    Reservation reservation;
    Time last_seen;          // when its pod was last known to be there
    bool told_held = false;  // that the kubelet does not list its pod, and a VMM holds a group
  };
  struct Found {
    Lease* lease = nullptr;
    const Allocation* allocation = nullptr;
    const Holding* holding = nullptr;
  };

  Reservations(Pool pool, MsiWindowKnob& knob, SettingsStore& settings);

  // At start, first: what the ledger has. After a reboot no container of it is running.
  void Restore(const Ledger& ledger, bool rebooted, Time now);
  // At start, second, and after SetPool(): every window of the pool, or of a reservation, that the
  // kernel has in force where the record does not know it, ours or not, as a reservation of a pod
  // that is not known. Groups with the same window are one. Returns how many windows.
  std::size_t Adopt(const Inventory& inventory, std::span<const ResourceOffers> offers, Time now);

  // At start, third: settings that neither has anything about, as an allocation that is observed
  // only; so they go when their pod has gone.
  void AdoptSettings(std::span<const std::string> keys, const Inventory& inventory,
                     std::span<const ResourceOffers> offers, Time now);

  // What is handed over with the device now; its lease is null if nothing is.
  [[nodiscard]] Found Find(const std::string& device);
  // The group of a device that is handed over has another number in this boot.
  void Renumber(const std::string& device, std::uint32_t group);
  // The leases of this pod by the kubelet's list, the oldest first.
  [[nodiscard]] std::vector<Lease*> LeasesOf(const PodName& pod, const PodIndex& pods);

  // All leases, the oldest first.
  [[nodiscard]] const std::list<Lease>& leases() const { return leases_; }

  // What is to be kept on disk. Of a window that is nobody's any more nothing else may know, once
  // the pool is another one; it is kept as one of a pod that is not known.
  [[nodiscard]] std::vector<Reservation> Snapshot() const;
  // The same, as it will be after Commit() with these arguments.
  [[nodiscard]] std::vector<Reservation> SnapshotAfter(const std::optional<Window>& window,
                                                       const Allocation& allocation) const;

  // The devices are being allocated again: ends the reservations they are part of.
  void EndFormer(std::span<const std::string> devices);
  // Ends reservations whose pod has not been listed for `grace`, if no VMM holds one of their
  // groups; those that it lists get their pod's name. `asked` is when the kubelet was asked.
  // Returns whether anything has changed.
  bool Reconcile(const PodIndex& pods, Time asked, std::chrono::steady_clock::duration grace);
  // The pods of all reservations are taken for present at `now`: the grace time begins anew.
  void SeeAll(Time now);

  // Puts groups back to the default whose windows are nobody's any more, as far as the kernel lets
  // it. Returns whether there was one.
  bool ResetLeftovers();

  // A window for an allocation of `devices`, to be followed by Commit() or GiveBack().
  // ResourceExhausted: names the pool, its size and its holders.
  absl::StatusOr<Window> TakeWindow(std::span<const std::string> devices);
  // The allocation has come to nothing; the window is still in force in these of its groups.
  void GiveBack(Window window, const Allocation& allocation, std::span<const std::uint32_t> stuck);

  // Records an allocation, in place of what its devices and groups had before. `window` is empty if
  // nothing was reserved.
  void Commit(const std::optional<Window>& window, Allocation allocation, Time now);
  // The allocations of `from` become part of `into`, which has a window; that of `from`, if it has
  // another one, is free.
  void Merge(Lease& into, Lease& from);

  // Windows are taken from another pool from now on. What is reserved stays as it is; Adopt() finds
  // what the kernel has in force in the new pool.
  void SetPool(const Pool& pool);

  // How many windows the pool has, and how many of them nobody has.
  [[nodiscard]] std::size_t windows() const { return pool_.size(); }
  [[nodiscard]] std::size_t free_windows() const { return pool_.free(); }
  // Groups that still have a window which is nobody's.
  [[nodiscard]] std::vector<LeftoverStatus> DescribeLeftovers() const;

  // Ends the reservation with this window, whose pod has gone, and returns its devices. Errors as
  // DeviceBroker::Release().
  absl::StatusOr<std::vector<std::string>> ReleaseWindow(std::uint64_t base, const PodIndex& pods);

  // No reservation, and no window that is still held.
  [[nodiscard]] bool empty() const { return leases_.empty() && leftovers_.empty(); }

 private:
  // A group that still has a window which is nobody's. It holds a claim on the window.
  struct Leftover {
    Holding holding;
    Window window;
    bool told = false;  // that it is still held
  };

  // What a group that is to have its window no longer says to that.
  enum class Parting { kGone, kHeld, kRefused };

  [[nodiscard]] bool IsOurs(const Window& window) const;
  bool PutBack(Lease& lease);
  void End(Lease& lease, std::span<const std::string> but);
  void DropEmpty();
  [[nodiscard]] bool IsReserved(const Leftover& leftover) const;
  [[nodiscard]] bool IsSharedWithOthers(const Lease& lease) const;
  bool ResetOne(Leftover& leftover);
  Parting Part(const std::string& device, std::uint32_t group, Window window, absl::Status& status);
  void AddLeftovers(std::vector<Reservation>& reservations) const;
  void RemoveSettings(const std::string& key);
  [[nodiscard]] std::string DescribeHolders() const;

  WindowPool pool_;
  MsiWindowKnob& knob_;
  SettingsStore& settings_;
  // In the order in which they were made; a list, since leases are referred to.
  std::list<Lease> leases_;
  std::vector<Leftover> leftovers_;
};

}  // namespace dp::core
