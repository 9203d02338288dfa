// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/core/offer_changes.h"

// The kubelet names devices that it saw in an earlier list. Since then a driver may have been
// unbound, a sibling may have come, a group may have got another number. So the groups asked for
// are read afresh, and what differs from the list goes into the list.

namespace dp::core {
namespace {

absl::StatusCode CodeForCaller(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:        // EBUSY
    case absl::StatusCode::kPermissionDenied:   // EACCES
    case absl::StatusCode::kOutOfRange:         // ERANGE
    case absl::StatusCode::kResourceExhausted:  // of the pool
      return code;
    case absl::StatusCode::kAlreadyExists:  // EADDRINUSE
    case absl::StatusCode::kUnimplemented:  // EOPNOTSUPP
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status ForCaller(const absl::Status& status, std::string_view action) {
  return base::InsteadOf(status, {CodeForCaller(status.code()),
                                  fmt::format("{}: {}", action, std::string(status.message()))});
}

Catalogue::Catalogue(Sources sources)
    : sources_(sources), recovery_delay_(sources.timers, [this] {
        if (!stopped_) Rescan();
      }) {}

absl::StatusOr<Inventory> Catalogue::Open() {
  ASSIGN_OR_RETURN(Inventory inventory, sources_.scanner.Scan());
  ASSIGN_OR_RETURN(offers_, OffersAfter(sources_.config, inventory));
  LookAtKnobs(inventory);
  return inventory;
}

std::optional<std::size_t> Catalogue::IndexOf(std::string_view resource) const {
  for (std::size_t i = 0; i < offers_.size(); ++i) {
    if (offers_[i].resource == resource) return i;
  }
  return std::nullopt;
}

void Catalogue::LogStart(const Inventory& inventory) {
  LogSkipped(inventory);
  for (const ResourceOffers& resource : offers_) {
    std::size_t healthy = 0;
    for (const Offer& offer : resource.offers) {
      if (offer.healthy()) {
        ++healthy;
      } else {
        LogUnhealthy(resource.resource, offer);
      }
    }
    log::Info("resource offered", {{"resource", resource.resource},
                                   {"devices", resource.offers.size()},
                                   {"healthy", healthy}});
  }
  if (!knob_error_.empty()) LogKnobError();
  // Said once for the host if no group at all can be steered, else once for each kind of group.
  if (sources_.config.mode == Mode::kObserve) {
    log::Warning("observe mode",
                 {{"reason", base::Reason::kObserveMode}, {"text", "the configuration says so"}});
    return;
  }
  std::size_t absent = 0;
  std::size_t none = 0;
  for (const Group& group : inventory.groups) {
    absent += group.knob == Knob::kAbsent ? 1 : 0;
    none += group.knob == Knob::kNone ? 1 : 0;
  }
  if (absent > 0) {
    log::Warning("observe mode", {{"reason", base::Reason::kNoKnob},
                                  {"text", "this kernel has no msi_window attribute"},
                                  {"groups", absent}});
  }
  if (none > 0) {
    log::Warning("observe mode", {{"reason", base::Reason::kNoSoftwareWindow},
                                  {"text", "these groups have no software MSI window"},
                                  {"groups", none}});
  }
}

void Catalogue::LookAtKnobs(const Inventory& inventory) {
  groups_with_knob_ = groups_without_knob_ = 0;
  knob_error_.clear();
  for (const Group& group : inventory.groups) {
    groups_without_knob_ += group.knob == Knob::kAbsent ? 1 : 0;
    if (group.knob != Knob::kPresent) continue;
    // One speaks for all: they are of one owner, below one mount, and under one profile.
    if (groups_with_knob_++ > 0 || sources_.config.mode == Mode::kObserve) continue;
    const absl::Status status = sources_.knob.Check(group.number);
    // Else it has just gone.
    if (absl::IsPermissionDenied(status)) knob_error_ = std::string(status.message());
  }
}

void Catalogue::LogKnobError() const {
  log::Error("no window can be moved",
             {{"reason", base::Reason::kKnobNotWritable}, {"error", knob_error_}});
}

void Catalogue::LogSkipped(const Inventory& inventory) {
  std::set<std::string> now;
  for (const Skipped& skipped : inventory.skipped) {
    const auto [entry, fresh] = now.insert(fmt::format("{}: {}", skipped.path, skipped.reason));
    if (fresh && !skipped_.contains(*entry)) {
      log::Warning("skipped", {{"reason", base::Reason::kNotReadable},
                               {"path", skipped.path},
                               {"error", skipped.reason}});
    }
  }
  skipped_ = std::move(now);
}

absl::StatusOr<std::vector<ResourceOffers>> Catalogue::OffersAfter(
    const Config& config, const Inventory& inventory) const {
  ASSIGN_OR_RETURN(auto all, OfferAll(inventory, config.resources));
  for (std::size_t i = 0; i < all.size(); ++i) {
    CheckGroupNodes(all[i].offers, config.resources[i].iommufd, sources_.has_node);
    sources_.explain(all[i].offers);
  }
  return all;
}

void Catalogue::Rescan() {
  absl::StatusOr<Inventory> inventory = sources_.scanner.Scan();
  if (!inventory.ok()) {
    log::Error("host not read",
               {{"reason", base::Reason::kHostNotRead}, {"error", inventory.status()}});
    return;
  }
  LogSkipped(*inventory);
  const std::string former = knob_error_;
  LookAtKnobs(*inventory);
  if (!knob_error_.empty() && knob_error_ != former) LogKnobError();
  auto offers = OffersAfter(sources_.config, *inventory);
  if (!offers.ok()) {
    log::Error("offers left as they were",
               {{"reason", base::Reason::kSelectorsClash}, {"error", offers.status()}});
    return;
  }
  ReplaceAll(*std::move(offers));
  if (scanned_) scanned_(*inventory);
}

void Catalogue::Reconfigured(std::vector<ResourceOffers> offers) {
  for (std::size_t i = offers_.size(); i < offers.size(); ++i) {
    offers_.push_back({.resource = offers[i].resource, .offers = {}});
  }
  ReplaceAll(std::move(offers));
}

void Catalogue::ReplaceAll(std::vector<ResourceOffers> offers) {
  for (std::size_t i = 0; i < offers_.size(); ++i) {
    Replace(i, recovery_delay_.Apply(offers_[i].offers, std::move(offers[i].offers)));
  }
}

void Catalogue::Replace(std::size_t resource, std::vector<Offer> offers) {
  std::vector<Offer>& current = offers_[resource].offers;
  if (current == offers) {
    current = std::move(offers);  // for what is not compared
    return;
  }
  const auto unhealthy =
      std::count_if(offers.begin(), offers.end(), [](const Offer& o) { return !o.healthy(); });
  log::Info("offers changed", {{"resource", offers_[resource].resource},
                               {"devices", offers.size()},
                               {"unhealthy", unhealthy}});
  LogChanges(offers_[resource].resource, current, offers);
  current = std::move(offers);
  if (observer_) observer_(resource);
}

absl::Status Catalogue::CheckDevices(std::size_t resource,
                                     std::span<const std::string> devices) const {
  const std::string& name = offers_[resource].resource;
  if (devices.empty()) {
    return Because(base::Reason::kBadRequest,
                   absl::InvalidArgumentError(fmt::format("no device of {} is asked for", name)));
  }
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (std::find(devices.begin(), devices.begin() + static_cast<std::ptrdiff_t>(i), devices[i]) !=
        devices.begin() + static_cast<std::ptrdiff_t>(i)) {
      return Because(base::Reason::kBadRequest, absl::InvalidArgumentError(fmt::format(
                                                    "device {} is asked for twice", devices[i])));
    }
    if (offers_[resource].Find(devices[i]) == nullptr) {
      return Because(base::Reason::kNoSuchDevice,
                     absl::NotFoundError(fmt::format("{} has no device {}", name, devices[i])));
    }
  }
  return absl::OkStatus();
}

// What the group of the offer is now, if it is still that device's; otherwise empty, with `error`
// Ok if the device may have moved to another group.
std::optional<Target> Catalogue::LookAtGroup(std::size_t resource, const Offer& offer,
                                             absl::Status& error) {
  absl::StatusOr<Group> group = sources_.scanner.ScanGroup(offer.group);
  if (!group.ok()) {
    if (!absl::IsNotFound(group.status())) error = group.status();
    return std::nullopt;
  }
  std::optional<Offer> fresh = OfferGroup(*group, sources_.config.resources[resource]);
  if (!fresh || fresh->id != offer.id) return std::nullopt;
  CheckGroupNodes(std::span(&*fresh, 1), sources_.config.resources[resource].iommufd,
                  sources_.has_node);
  sources_.explain(std::span(&*fresh, 1));
  return Target{.offer = *std::move(fresh), .group = *std::move(group)};
}

absl::StatusOr<Target> Catalogue::LookAt(std::size_t resource, const std::string& device) {
  absl::Status error;
  std::optional<Target> target = LookAtGroup(resource, *offers_[resource].Find(device), error);
  if (!target && error.ok()) {
    Rescan();
    const Offer* moved = offers_[resource].Find(device);
    if (moved != nullptr) target = LookAtGroup(resource, *moved, error);
  }
  if (!error.ok()) {
    return Because(base::Reason::kNotReadable,
                   ForCaller(error, fmt::format("device {} cannot be read", device)));
  }
  if (!target) {
    return Because(base::Reason::kDeviceGone,
                   absl::NotFoundError(fmt::format("device {} is gone", device)));
  }

  if (const Offer& known = *offers_[resource].Find(device); known != target->offer) {
    std::vector<Offer> offers = offers_[resource].offers;
    *std::find(offers.begin(), offers.end(), known) = target->offer;
    Replace(resource, std::move(offers));
  }
  if (!target->offer.healthy()) {
    return Because(target->offer.reason.value_or(base::Reason::kDeviceNotReady),
                   absl::FailedPreconditionError(fmt::format("device {} is unhealthy: {}", device,
                                                             target->offer.unhealthy_reason)));
  }
  return *std::move(target);
}

// In the order of the list, so that the answer does not depend on the order of the question.
absl::StatusOr<std::vector<Target>> Catalogue::LookAgain(std::size_t resource,
                                                         std::span<const std::string> devices) {
  RETURN_IF_ERROR(CheckDevices(resource, devices));
  std::vector<std::string> ordered(devices.begin(), devices.end());
  std::sort(ordered.begin(), ordered.end(), IdBefore);
  std::vector<Target> targets;
  targets.reserve(ordered.size());
  for (const std::string& device : ordered) {
    // An earlier look may have found that this one has gone.
    RETURN_IF_ERROR(CheckDevices(resource, std::span(&device, 1)));
    ASSIGN_OR_RETURN(Target target, LookAt(resource, device));
    targets.push_back(std::move(target));
  }
  return targets;
}

std::vector<std::string> Catalogue::NodesOf(std::size_t resource,
                                            std::span<const Target> targets) const {
  return DeviceNodes(targets, this->resource(resource).iommufd, sources_.has_node);
}

std::string Catalogue::ObserveReason(const Target& target) const {
  if (sources_.config.mode == Mode::kObserve) return "the configuration says so";
  switch (target.group.knob) {
    case Knob::kAbsent:
      return "this kernel has no msi_window attribute";
    case Knob::kNone:
      return fmt::format("IOMMU group {} has no software MSI window", target.group.number);
    case Knob::kPresent:
      return target.offer.observe_reason;
  }
  return {};
}

std::vector<std::uint32_t> Catalogue::GroupsToSteer(std::span<const Target> targets) const {
  std::vector<std::uint32_t> groups;
  for (const Target& target : targets) {
    if (CanSteer(target)) groups.push_back(target.group.number);
  }
  return groups;
}

void Catalogue::SetWindow(std::span<Target> targets, const std::optional<Window>& window) const {
  for (Target& target : targets) {
    if (CanSteer(target)) target.group.window = window;
  }
}

}  // namespace dp::core
