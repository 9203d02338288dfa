// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/config.h"
#include "plugin/core/grant.h"
#include "plugin/core/group_nodes.h"
#include "plugin/core/offers.h"
#include "plugin/core/ports.h"
#include "plugin/core/recovery_delay.h"
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
    Timers& timers;
    HasNode has_node;
    std::uint64_t page_size = 0;  // of the host, in bytes
    Patience patience;
  };
  using Allocated = std::function<void(absl::StatusOr<Grant>)>;
  using OffersChanged = std::function<void(std::size_t resource)>;

  // Scans the host and adopts the windows of the pool that are in force.
  // FailedPrecondition: see HostScanner::Scan(). InvalidArgument: see OfferAll().
  static absl::StatusOr<std::unique_ptr<DeviceBroker>> Create(Config config, Host host);
  DeviceBroker(const DeviceBroker&) = delete;
  DeviceBroker& operator=(const DeviceBroker&) = delete;

  [[nodiscard]] std::span<const ResourceOffers> offers() const { return offers_; }
  // Called after a change of what a resource offers.
  void NotifyChanges(OffersChanged observer) { observer_ = std::move(observer); }

  // Looks at the whole host again. Devices that are healthy again are told of when they have
  // settled (RecoveryDelay); it calls itself then. A host that cannot be read is logged and leaves
  // things as they are.
  void Rescan();

  // Reserves a window for these devices and says what their container gets. Calls `done` once,
  // possibly before it returns; one call is served after the other.
  // InvalidArgument: no device, or one twice. NotFound: no such device. FailedPrecondition: a
  // device is unhealthy, or its window cannot be had on this host. Unavailable: a group is still
  // owned by a former VMM. PermissionDenied, OutOfRange: the kernel refused. ResourceExhausted: no
  // window is free. Whatever fails, windows are as they were before.
  void Allocate(std::size_t resource, std::vector<std::string> devices, Allocated done);

  // The last look before a container starts, at its first start and at each restart.
  // InvalidArgument, NotFound: as Allocate(). FailedPrecondition: one of the groups is not as it
  // was handed over, or its window is not the reserved one.
  absl::Status CheckBeforeStart(std::size_t resource, std::span<const std::string> devices);

  // See PreferDevices().
  absl::StatusOr<std::vector<std::string>> Prefer(std::size_t resource,
                                                  std::span<const std::string> available,
                                                  std::span<const std::string> must_include,
                                                  int size) const;

  // Answers all waiting calls as Unavailable, and later ones too.
  void Drain();

 private:
  struct Request {
    std::size_t resource = 0;
    std::vector<std::string> devices;
    Allocated done;
    // Once it is being served:
    std::vector<Target> targets;
    std::optional<Window> window;
  };

  DeviceBroker(Config config, Host host);
  void LogStart(const Inventory& inventory, std::size_t adopted) const;
  void LogSkipped(const Inventory& inventory);
  [[nodiscard]] absl::StatusOr<std::vector<ResourceOffers>> OffersOf(
      const Inventory& inventory) const;
  void Replace(std::size_t resource, std::vector<Offer> offers);

  absl::Status CheckDevices(std::size_t resource, std::span<const std::string> devices) const;
  absl::StatusOr<Target> LookAgain(std::size_t resource, const std::string& device);
  std::optional<Target> LookAtGroup(std::size_t resource, const Offer& offer, absl::Status& error);
  absl::StatusOr<std::vector<Target>> LookAgainAtAll(std::size_t resource,
                                                     std::span<const std::string> devices);
  [[nodiscard]] std::string ObserveReason(const Group& group) const;

  void ServeQueue();
  void Serve();
  void HandOver(std::span<const WindowWriter::Previous> written);
  void Undo(std::span<const WindowWriter::Previous> stuck);
  [[nodiscard]] Settings MakeSettings(const Request& request) const;
  void Finish(absl::StatusOr<Grant> result);

  const Config config_;
  Host host_;
  std::vector<ResourceOffers> offers_;
  OffersChanged observer_;
  RecoveryDelay recovery_delay_;
  std::set<std::string> skipped_;  // what was logged as skipped by the last scan
  Reservations reservations_;
  WindowWriter writer_;
  std::deque<Request> queue_;
  std::optional<Request> current_;
  bool draining_ = false;
};

}  // namespace dp::core
