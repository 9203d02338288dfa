// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/binder.h"
#include "plugin/core/books.h"
#include "plugin/core/catalogue.h"
#include "plugin/core/config.h"
#include "plugin/core/config_change.h"
#include "plugin/core/container_start.h"
#include "plugin/core/grant.h"
#include "plugin/core/handover.h"
#include "plugin/core/held_group.h"
#include "plugin/core/node_status.h"
#include "plugin/core/ports.h"
#include "plugin/core/reconciler.h"
#include "plugin/core/reservations.h"
#include "plugin/core/window_writer.h"

namespace dp::core {

// The heart of the daemon: knows what the host offers and what is handed over, and answers the
// calls of the kubelet. It knows neither gRPC nor files.
//
// Loop thread. Resources are named by their place in the configuration.
class DeviceBroker {
 public:
  // What it works on. The references outlive the broker, and the broker the run of the loop.
  struct Host {
    HostScanner& scanner;
    MsiWindowKnob& knob;
    SettingsStore& settings;
    LedgerStore& ledger;
    PodLister& pods;
    Timers& timers;
    PciDrivers& drivers;
    DriverStore& driver_store;
    Aside aside;
    HasNode has_node;
    std::uint64_t page_size = 0;  // of the host, in bytes
    std::string boot_id;          // of this boot
    Patience patience;
    Leave leave;
  };
  using Allocated = std::function<void(absl::StatusOr<Grant>)>;
  using Checked = ContainerStart::Done;
  using OffersChanged = Catalogue::OffersChanged;
  using Reconfigured = std::function<void(absl::StatusOr<ConfigChange>)>;

  // Scans the host; changes nothing.
  // FailedPrecondition: see HostScanner::Scan(). InvalidArgument: see OfferAll().
  static absl::StatusOr<std::unique_ptr<DeviceBroker>> Create(Config config, Host host);
  DeviceBroker(const DeviceBroker&) = delete;
  DeviceBroker& operator=(const DeviceBroker&) = delete;

  // Reads the ledger, adopts the windows of the pool that are in force, and begins to watch over
  // both, and to bind what is to be bound. Before the first call. Not Ok: see Books::Open() and
  // Binder::Open().
  absl::Status Open();

  [[nodiscard]] std::span<const ResourceOffers> offers() const { return catalogue_.offers(); }
  // What the configuration says of it.
  [[nodiscard]] const Resource& resource(std::size_t resource) const {
    return catalogue_.resource(resource);
  }
  // Called after a change of what a resource offers.
  void NotifyChanges(OffersChanged observer) { catalogue_.NotifyChanges(std::move(observer)); }
  // See Catalogue::Rescan().
  void Rescan() { catalogue_.Rescan(); }
  // A kubelet that has just started may not know its pods yet: nothing ends for the grace time.
  void KubeletStarted() { reservations_.SeeAll(host_.timers.Now()); }

  // Takes another configuration over, as a whole, when it is its turn. Calls `done` once, possibly
  // before it returns. What has changed in the offers is told before that, also of resources that
  // nobody has heard of yet.
  // InvalidArgument: see OfferAll(). FailedPrecondition: the host cannot be read. Unavailable: the
  // daemon ends. Nothing has changed then.
  void Reconfigure(Config next, const Reconfigured& done);

  // Reserves a window for these devices and says what their container gets. Calls `done` once,
  // possibly before it returns; one call is served after the other.
  // InvalidArgument: no device, or one twice. NotFound: no such device. FailedPrecondition: a
  // device is unhealthy, or its window cannot be had on this host. Unavailable: a group is still
  // owned by a former VMM. PermissionDenied, OutOfRange: the kernel refused. ResourceExhausted: no
  // window is free. Whatever fails, windows are as they were before.
  void Allocate(std::size_t resource, std::vector<std::string> devices, const Allocated& done);

  // See ContainerStart. Calls `done` once, possibly before it returns.
  void CheckBeforeStart(std::size_t resource, std::vector<std::string> devices,
                        const Checked& done);

  // Every group that these pods have, by the record, in the order in which it came to them. Reads
  // their windows afresh, and changes nothing. Calls `done` once, possibly before it returns; waits
  // for its turn. Unavailable: the daemon ends, or another one has taken over.
  using Held = std::function<void(absl::StatusOr<std::vector<HeldGroup>>)>;
  void HeldBy(const IsPod& is_pod, const Held& done);
  // How things stand, from memory.
  [[nodiscard]] NodeStatus Describe() const;
  // Called when something may have changed, also if nothing has.
  void NotifyTurns(std::function<void()> observer) { turned_ = std::move(observer); }
  // Gets how long each comparison of record, kubelet and kernel took.
  void NotifyReconciled(std::function<void(std::chrono::steady_clock::duration)> observer) {
    reconciler_.NotifyLooks(std::move(observer));
  }
  // Ends the reservation with the window at `base`, whose pod has gone. Calls `done` once, possibly
  // before it returns, with its devices.
  // NotFound: nobody has it. FailedPrecondition: the kubelet lists its pod, or cannot be asked.
  // Unavailable: a VMM holds one of its groups, or the daemon ends. The reservation is as it was
  // then; groups of it that nobody holds may be at the default, as in Reservations::Reconcile().
  using Released = std::function<void(absl::StatusOr<std::vector<std::string>>)>;
  void Release(std::uint64_t base, const Released& done);
  // A pod may have ended: looks now, and not only when it is time again.
  void LookForEnded() { reconciler_.Hint(); }
  // What windows are taken from.
  [[nodiscard]] const Pool& pool() const { return config_.pool; }

  // See PreferDevices().
  absl::StatusOr<std::vector<std::string>> Prefer(std::size_t resource,
                                                  std::span<const std::string> available,
                                                  std::span<const std::string> must_include,
                                                  int size) const;

  // Answers all waiting calls as Unavailable, and later ones too.
  void Drain();

 private:
  // A call that waits for its turn. `refuse` answers it without serving it.
  struct Call {
    std::function<void()> serve;
    std::function<void(const absl::Status&)> refuse;
  };
  // The Allocate call that is being served.
  struct Request {
    std::size_t resource = 0;
    std::vector<std::string> devices;
    Allocated done;
    std::vector<Target> targets;
  };

  DeviceBroker(Config config, Host host);
  void Enqueue(Call call);
  void InTurn(std::function<void()> task);
  void ServeQueue();
  void EndTurn();
  void ServeAllocate(Request request);
  void HandOver(const Books::Entry& entry);
  void Finish(absl::StatusOr<Grant> result);
  HeldGroup LookAt(const PodName& pod, const Allocation& allocation, const Holding& holding,
                   const std::optional<Window>& window);
  void ServeReconfigure(Config next, const Reconfigured& done);
  void EnqueueStart(std::size_t resource, std::vector<std::string> devices,
                    std::optional<ContainerStart::Listed> listed, const Checked& done);

  Config config_;  // that of the last change
  Host host_;
  Catalogue catalogue_;
  Inventory inventory_;  // of the first look, until Open()
  Reservations reservations_;
  Books books_;
  WindowWriter writer_;
  const Tools tools_;
  Reconciler reconciler_;
  Binder binder_;
  std::deque<Call> queue_;
  bool busy_ = false;        // a call is being served
  bool taken_over_ = false;  // said that another daemon has taken over
  std::optional<Request> request_;
  std::unique_ptr<ContainerStart> start_;
  std::function<void()> turned_;
  bool draining_ = false;
};

}  // namespace dp::core
