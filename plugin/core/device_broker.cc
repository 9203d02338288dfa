// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/device_broker.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/core/offer_changes.h"
#include "plugin/core/preferred_allocation.h"

// How an allocation goes. The kubelet names devices that it saw in an earlier list. Since then a
// driver may have been unbound, a sibling may have come, a group may have got another number. So
// the groups asked for are read afresh, and what differs from the list goes into the list. Then the
// reservations end that these devices were part of, a window is taken from the pool and written to
// each group, the settings are written, and only then the new reservation is recorded. Each step
// can fail, and the steps before it are undone in reverse.
//
// Only the writing can wait (a former VMM has not let go of its group yet). Meanwhile other calls
// are answered, but no other allocation begins: two that change the same pool and the same groups
// side by side would need rules for every order of their failures, and the kubelet admits one pod
// after the other anyway.

namespace dp::core {
namespace {

// What the kernel's refusal means to the caller of Allocate, who gave neither the window nor the
// group: EINVAL is our fault, and EOPNOTSUPP must not look as if Allocate itself were missing.
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

absl::Status ForCaller(const absl::Status& status, std::string_view action) {
  return {CodeForCaller(status.code()),
          fmt::format("{}: {}", action, std::string(status.message()))};
}

std::vector<std::string> DevicesOf(std::span<const Target> targets) {
  std::vector<std::string> devices;
  devices.reserve(targets.size());
  for (const Target& target : targets) devices.push_back(target.offer.id);
  return devices;
}

std::string Join(std::span<const std::string> texts) {
  return fmt::format("{}", fmt::join(texts, ","));
}

}  // namespace

DeviceBroker::DeviceBroker(Config config, Host host)
    : config_(std::move(config)),
      host_(std::move(host)),
      recovery_delay_(host_.timers,
                      [this] {
                        if (!draining_) Rescan();
                      }),
      reservations_(config_.pool, host_.knob, host_.settings),
      writer_(host_.knob, host_.timers, host_.patience) {}

absl::StatusOr<std::unique_ptr<DeviceBroker>> DeviceBroker::Create(Config config, Host host) {
  ASSIGN_OR_RETURN(const Inventory inventory, host.scanner.Scan());
  auto broker = std::unique_ptr<DeviceBroker>(new DeviceBroker(std::move(config), std::move(host)));
  ASSIGN_OR_RETURN(broker->offers_, broker->OffersOf(inventory));
  const bool may_write = broker->config_.mode == Mode::kEnforce;
  const std::size_t adopted = may_write ? broker->reservations_.Adopt(inventory) : 0;
  broker->LogSkipped(inventory);
  broker->LogStart(inventory, adopted);
  return broker;
}

void DeviceBroker::LogStart(const Inventory& inventory, std::size_t adopted) const {
  for (const ResourceOffers& resource : offers_) {
    std::size_t healthy = 0;
    for (const Offer& offer : resource.offers) {
      if (offer.healthy()) {
        ++healthy;
      } else {
        log::Warning("device unhealthy", {{"resource", resource.resource},
                                          {"device", offer.id},
                                          {"reason", offer.unhealthy_reason}});
      }
    }
    log::Info("resource offered", {{"resource", resource.resource},
                                   {"devices", resource.offers.size()},
                                   {"healthy", healthy}});
  }
  if (adopted > 0) log::Info("windows adopted", {{"windows", adopted}});
  // Said once for the host if no group at all can be steered, else once for each kind of group.
  if (config_.mode == Mode::kObserve) {
    log::Warning("observe mode", {{"reason", "the configuration says so"}});
    return;
  }
  std::size_t absent = 0;
  std::size_t none = 0;
  for (const Group& group : inventory.groups) {
    absent += group.knob == Knob::kAbsent ? 1 : 0;
    none += group.knob == Knob::kNone ? 1 : 0;
  }
  if (absent > 0) {
    log::Warning("observe mode",
                 {{"reason", "this kernel has no msi_window attribute"}, {"groups", absent}});
  }
  if (none > 0) {
    log::Warning("observe mode",
                 {{"reason", "these groups have no software MSI window"}, {"groups", none}});
  }
}

void DeviceBroker::LogSkipped(const Inventory& inventory) {
  std::set<std::string> now;
  for (const Skipped& skipped : inventory.skipped) {
    const auto [entry, fresh] = now.insert(fmt::format("{}: {}", skipped.path, skipped.reason));
    if (fresh && !skipped_.contains(*entry)) {
      log::Warning("skipped", {{"path", skipped.path}, {"reason", skipped.reason}});
    }
  }
  skipped_ = std::move(now);
}

absl::StatusOr<std::vector<ResourceOffers>> DeviceBroker::OffersOf(
    const Inventory& inventory) const {
  ASSIGN_OR_RETURN(auto all, OfferAll(inventory, config_.resources));
  for (ResourceOffers& resource : all) CheckGroupNodes(resource.offers, host_.has_node);
  return all;
}

void DeviceBroker::Rescan() {
  absl::StatusOr<Inventory> inventory = host_.scanner.Scan();
  if (!inventory.ok()) {
    log::Error("host not read", {{"reason", "scan"}, {"error", inventory.status()}});
    return;
  }
  LogSkipped(*inventory);
  auto offers = OffersOf(*inventory);
  if (!offers.ok()) {
    log::Error("offers left as they were",
               {{"reason", "selectors_clash"}, {"error", offers.status()}});
    return;
  }
  for (std::size_t i = 0; i < offers_.size(); ++i) {
    Replace(i, recovery_delay_.Apply(offers_[i].offers, std::move((*offers)[i].offers)));
  }
}

void DeviceBroker::Replace(std::size_t resource, std::vector<Offer> offers) {
  std::vector<Offer>& current = offers_[resource].offers;
  if (current == offers) return;
  const auto unhealthy =
      std::count_if(offers.begin(), offers.end(), [](const Offer& o) { return !o.healthy(); });
  log::Info("offers changed", {{"resource", offers_[resource].resource},
                               {"devices", offers.size()},
                               {"unhealthy", unhealthy}});
  LogChanges(offers_[resource].resource, current, offers);
  current = std::move(offers);
  if (observer_) observer_(resource);
}

absl::Status DeviceBroker::CheckDevices(std::size_t resource,
                                        std::span<const std::string> devices) const {
  const std::string& name = offers_[resource].resource;
  if (devices.empty()) {
    return absl::InvalidArgumentError(fmt::format("no device of {} is asked for", name));
  }
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (std::find(devices.begin(), devices.begin() + static_cast<std::ptrdiff_t>(i), devices[i]) !=
        devices.begin() + static_cast<std::ptrdiff_t>(i)) {
      return absl::InvalidArgumentError(fmt::format("device {} is asked for twice", devices[i]));
    }
    if (offers_[resource].Find(devices[i]) == nullptr) {
      return absl::NotFoundError(fmt::format("{} has no device {}", name, devices[i]));
    }
  }
  return absl::OkStatus();
}

// What the group of the offer is now, if it is still that device's; otherwise empty, with `error`
// Ok if the device may have moved to another group.
std::optional<Target> DeviceBroker::LookAtGroup(std::size_t resource, const Offer& offer,
                                                absl::Status& error) {
  absl::StatusOr<Group> group = host_.scanner.ScanGroup(offer.group);
  if (!group.ok()) {
    if (!absl::IsNotFound(group.status())) error = group.status();
    return std::nullopt;
  }
  std::optional<Offer> fresh = OfferGroup(*group, config_.resources[resource]);
  if (!fresh || fresh->id != offer.id) return std::nullopt;
  CheckGroupNodes(std::span(&*fresh, 1), host_.has_node);
  return Target{.offer = *std::move(fresh), .group = *std::move(group)};
}

absl::StatusOr<Target> DeviceBroker::LookAgain(std::size_t resource, const std::string& device) {
  absl::Status error;
  std::optional<Target> target = LookAtGroup(resource, *offers_[resource].Find(device), error);
  if (!target && error.ok()) {
    Rescan();
    const Offer* moved = offers_[resource].Find(device);
    if (moved != nullptr) target = LookAtGroup(resource, *moved, error);
  }
  if (!error.ok()) return ForCaller(error, fmt::format("device {} cannot be read", device));
  if (!target) return absl::NotFoundError(fmt::format("device {} is gone", device));

  if (const Offer& known = *offers_[resource].Find(device); known != target->offer) {
    std::vector<Offer> offers = offers_[resource].offers;
    *std::find(offers.begin(), offers.end(), known) = target->offer;
    Replace(resource, std::move(offers));
  }
  if (!target->offer.healthy()) {
    return absl::FailedPreconditionError(
        fmt::format("device {} is unhealthy: {}", device, target->offer.unhealthy_reason));
  }
  return *std::move(target);
}

// In the order of the list, so that the answer does not depend on the order of the question.
absl::StatusOr<std::vector<Target>> DeviceBroker::LookAgainAtAll(
    std::size_t resource, std::span<const std::string> devices) {
  RETURN_IF_ERROR(CheckDevices(resource, devices));
  std::vector<std::string> ordered(devices.begin(), devices.end());
  std::sort(ordered.begin(), ordered.end(), IdBefore);
  std::vector<Target> targets;
  targets.reserve(ordered.size());
  for (const std::string& device : ordered) {
    // An earlier look may have found that this one has gone.
    RETURN_IF_ERROR(CheckDevices(resource, std::span(&device, 1)));
    ASSIGN_OR_RETURN(Target target, LookAgain(resource, device));
    targets.push_back(std::move(target));
  }
  return targets;
}

// Empty: the group's window can be reserved.
std::string DeviceBroker::ObserveReason(const Group& group) const {
  if (config_.mode == Mode::kObserve) return "the configuration says so";
  switch (group.knob) {
    case Knob::kAbsent:
      return "this kernel has no msi_window attribute";
    case Knob::kNone:
      return fmt::format("IOMMU group {} has no software MSI window", group.number);
    case Knob::kPresent:
      return {};
  }
  return {};
}

void DeviceBroker::Allocate(std::size_t resource, std::vector<std::string> devices,
                            Allocated done) {
  if (draining_) {
    done(absl::UnavailableError("the plugin is shutting down"));
    return;
  }
  queue_.push_back({.resource = resource,
                    .devices = std::move(devices),
                    .done = std::move(done),
                    .targets = {},
                    .window = std::nullopt});
  ServeQueue();
}

void DeviceBroker::ServeQueue() {
  while (!current_ && !queue_.empty()) {
    current_ = std::move(queue_.front());
    queue_.pop_front();
    Serve();
  }
}

void DeviceBroker::Serve() {
  auto targets = LookAgainAtAll(current_->resource, current_->devices);
  if (!targets.ok()) {
    Finish(targets.status());
    return;
  }
  current_->targets = *std::move(targets);
  reservations_.EndFormer(current_->devices);

  std::vector<std::uint32_t> groups;
  for (const Target& target : current_->targets) {
    if (ObserveReason(target.group).empty()) groups.push_back(target.group.number);
  }
  if (groups.empty()) {
    HandOver({});
    return;
  }
  auto window = reservations_.TakeWindow(current_->devices);
  if (!window.ok()) {
    Finish(window.status());
    return;
  }
  current_->window = *window;
  writer_.Write(std::move(groups), *window, [this](WindowWriter::Outcome outcome) {
    if (outcome.status.ok()) {
      HandOver(outcome.written);
      return;
    }
    Undo(outcome.written);
    Finish(ForCaller(outcome.status,
                     fmt::format("no window was set for {}", Join(DevicesOf(current_->targets)))));
  });
}

void DeviceBroker::HandOver(std::span<const WindowWriter::Previous> written) {
  std::vector<HeldGroup> holdings;
  for (Target& target : current_->targets) {
    const bool reserved = ObserveReason(target.group).empty();
    if (reserved) target.group.window = current_->window;
    holdings.push_back({.device = target.offer.id,
                        .group = target.group.number,
                        .members = MembersOf(target.group),
                        .window = reserved ? current_->window : std::nullopt,
                        .ended = false});
  }
  const Settings settings = MakeSettings(*current_);
  const std::string key = current_->targets.front().offer.id;
  auto directory = host_.settings.Put(key, settings);
  if (!directory.ok()) {
    Undo(writer_.PutBack(written));
    Finish(absl::InternalError(
        fmt::format("settings not written: {}", std::string(directory.status().message()))));
    return;
  }
  reservations_.Commit(current_->window, std::move(holdings), key);
  log::Info("allocated",
            {{"resource", settings.resource},
             {"devices", Join(DevicesOf(current_->targets))},
             {"mode", ModeName(settings.mode)},
             {"window", settings.window ? FormatWindow(*settings.window) : std::string("none")}});
  Finish(MakeGrant(current_->targets, settings, *directory, host_.has_node));
}

// The window goes back to the pool, unless groups are left that still have it.
void DeviceBroker::Undo(std::span<const WindowWriter::Previous> stuck) {
  if (!current_->window) return;
  if (stuck.empty()) {
    reservations_.GiveBack(*current_->window);
    return;
  }
  std::vector<HeldGroup> holdings;
  for (const WindowWriter::Previous& previous : stuck) {
    const auto target = std::find_if(
        current_->targets.begin(), current_->targets.end(),
        [&](const Target& candidate) { return candidate.group.number == previous.group; });
    holdings.push_back({.device = target->offer.id,
                        .group = previous.group,
                        .members = MembersOf(target->group),
                        .window = current_->window,
                        .ended = true});
  }
  reservations_.KeepStuck(*current_->window, std::move(holdings));
}

Settings DeviceBroker::MakeSettings(const Request& request) const {
  Settings settings{.resource = offers_[request.resource].resource,
                    .mode = Mode::kEnforce,
                    .mode_reason = {},
                    .window = request.targets.front().group.window,
                    .page_size = host_.page_size,
                    .groups = {}};
  for (const Target& target : request.targets) {
    if (std::string reason = ObserveReason(target.group);
        !reason.empty() && settings.mode == Mode::kEnforce) {
      settings.mode = Mode::kObserve;
      settings.mode_reason = std::move(reason);
    }
    if (target.group.window != settings.window) settings.window = std::nullopt;
    settings.groups.push_back(DescribeGroup(target, target.group.window));
  }
  return settings;
}

void DeviceBroker::Finish(absl::StatusOr<Grant> result) {
  Allocated done = std::move(current_->done);
  current_.reset();
  done(std::move(result));
  ServeQueue();
}

absl::Status DeviceBroker::CheckBeforeStart(std::size_t resource,
                                            std::span<const std::string> devices) {
  ASSIGN_OR_RETURN(const std::vector<Target> targets, LookAgainAtAll(resource, devices));
  for (const auto& [offer, group] : targets) {
    const HeldGroup* holding = reservations_.Find(offer.id);
    if (holding == nullptr) {
      if (!ObserveReason(group).empty()) continue;
      return absl::FailedPreconditionError(fmt::format(
          "no window is reserved for device {}: it was not allocated since the host started",
          offer.id));
    }
    if (const std::string members = MembersOf(group); members != holding->members) {
      return absl::FailedPreconditionError(fmt::format(
          "IOMMU group {} of device {} has changed: it holds {}, and held {} when it was allocated",
          group.number, offer.id, members, holding->members));
    }
    if (holding->window && group.window != holding->window) {
      return absl::FailedPreconditionError(fmt::format(
          "IOMMU group {} of device {} has the window {}, and {} is reserved for it", group.number,
          offer.id, group.window ? FormatWindow(*group.window) : std::string("none"),
          FormatWindow(*holding->window)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> DeviceBroker::Prefer(
    std::size_t resource, std::span<const std::string> available,
    std::span<const std::string> must_include, int size) const {
  return PreferDevices(offers_[resource].offers, available, must_include, size);
}

void DeviceBroker::Drain() {
  draining_ = true;
  std::deque<Request> waiting = std::exchange(queue_, {});
  writer_.Abandon("the plugin is shutting down");
  for (Request& request : waiting) {
    request.done(absl::UnavailableError("the plugin is shutting down"));
  }
}

}  // namespace dp::core
