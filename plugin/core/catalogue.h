// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/config.h"
#include "plugin/core/grant.h"
#include "plugin/core/group_nodes.h"
#include "plugin/core/inventory.h"
#include "plugin/core/offers.h"
#include "plugin/core/ports.h"
#include "plugin/core/recovery_delay.h"

namespace dp::core {

// What the kernel's refusal means to the kubelet, who gave neither the window nor the group: EINVAL
// is our fault, and EOPNOTSUPP must not look as if the call itself were missing. `action` is what
// failed.
absl::Status ForCaller(const absl::Status& status, std::string_view action);

// What the host offers, kept up to date.
//
// Loop thread. Resources are named by their place in the configuration.
class Catalogue {
 public:
  using OffersChanged = std::function<void(std::size_t resource)>;
  using Scanned = std::function<void(const Inventory& inventory)>;
  // Makes offers unhealthy for reasons that are not to be seen on the host.
  using Explain = std::function<void(std::span<Offer> offers)>;

  // What it is made of; outlives it.
  struct Sources {
    const Config& config;
    HostScanner& scanner;
    MsiWindowKnob& knob;
    const HasNode& has_node;
    Timers& timers;
    Explain explain;
  };

  explicit Catalogue(Sources sources);
  Catalogue(const Catalogue&) = delete;
  Catalogue& operator=(const Catalogue&) = delete;

  // The first look, which must be one.
  // FailedPrecondition: see HostScanner::Scan(). InvalidArgument: see OfferAll().
  absl::StatusOr<Inventory> Open();

  [[nodiscard]] std::span<const ResourceOffers> offers() const { return offers_; }
  // Empty: no such resource.
  [[nodiscard]] std::optional<std::size_t> IndexOf(std::string_view resource) const;
  // What the configuration says of it.
  [[nodiscard]] const Resource& resource(std::size_t resource) const {
    return sources_.config.resources[resource];
  }
  // The device nodes of its container: see core::DeviceNodes().
  [[nodiscard]] std::vector<std::string> NodesOf(std::size_t resource,
                                                 std::span<const Target> targets) const;
  // IOMMU groups of the host whose window can be moved, and those of a kernel without the series,
  // at the last look.
  [[nodiscard]] std::size_t groups_with_knob() const { return groups_with_knob_; }
  [[nodiscard]] std::size_t groups_without_knob() const { return groups_without_knob_; }
  // Why this process may not move a window, seen at the last look; empty: it may, or is not to.
  [[nodiscard]] const std::string& knob_error() const { return knob_error_; }
  // Called after a change of what a resource offers.
  void NotifyChanges(OffersChanged observer) { observer_ = std::move(observer); }
  // Called with what Rescan() has seen, after it.
  void NotifyScans(Scanned observer) { scanned_ = std::move(observer); }

  // Looks at the whole host again. Devices that are healthy again are told of when they have
  // settled (RecoveryDelay); it calls itself then. A host that cannot be read is logged and leaves
  // things as they are.
  void Rescan();
  // Whether the host's groups can be offered after another configuration, whose resources have the
  // places of the one that is in force, and perhaps more. InvalidArgument: see OfferAll().
  absl::StatusOr<std::vector<ResourceOffers>> OffersAfter(const Config& config,
                                                          const Inventory& inventory) const;
  // That configuration is in force now; tells what has changed.
  void Reconfigured(std::vector<ResourceOffers> offers);
  // From now on it does not call itself any more.
  void Stop() { stopped_ = true; }

  // Reads the groups of these devices afresh, in the order of their IDs; what differs from the
  // offers goes into them.
  // InvalidArgument: no device, or one twice. NotFound: no such device, or it is gone.
  // FailedPrecondition: it is unhealthy, or cannot be read.
  absl::StatusOr<std::vector<Target>> LookAgain(std::size_t resource,
                                                std::span<const std::string> devices);

  // Why the window of its group is not to be moved; empty: it can be reserved.
  [[nodiscard]] std::string ObserveReason(const Target& target) const;

  [[nodiscard]] bool CanSteer(const Target& target) const { return ObserveReason(target).empty(); }
  // The numbers of the groups among them whose window can be reserved.
  [[nodiscard]] std::vector<std::uint32_t> GroupsToSteer(std::span<const Target> targets) const;
  // Those groups have this window now.
  void SetWindow(std::span<Target> targets, const std::optional<Window>& window) const;

  // What is offered, and what cannot be steered, for the log.
  void LogStart(const Inventory& inventory);

 private:
  absl::Status CheckDevices(std::size_t resource, std::span<const std::string> devices) const;
  absl::StatusOr<Target> LookAt(std::size_t resource, const std::string& device);
  std::optional<Target> LookAtGroup(std::size_t resource, const Offer& offer, absl::Status& error);
  void ReplaceAll(std::vector<ResourceOffers> offers);
  void Replace(std::size_t resource, std::vector<Offer> offers);
  void LogSkipped(const Inventory& inventory);
  void LookAtKnobs(const Inventory& inventory);
  void LogKnobError() const;

  const Sources sources_;
  RecoveryDelay recovery_delay_;
  std::vector<ResourceOffers> offers_;
  OffersChanged observer_;
  Scanned scanned_;
  std::set<std::string> skipped_;  // what was logged as skipped by the last scan
  std::size_t groups_with_knob_ = 0;
  std::size_t groups_without_knob_ = 0;
  std::string knob_error_;
  bool stopped_ = false;
};

}  // namespace dp::core
