// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/recorded_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "plugin/core/offers.h"

namespace dp::ctl {
namespace {

std::uint64_t CountWindows(const core::Pool& pool) {
  return pool.window_size == 0 || pool.end < pool.start
             ? 0
             : (pool.end - pool.start) / pool.window_size;
}

Device DeviceOf(const core::ResourceOffers& resource, const core::Offer& offer) {
  Device device;
  device.id = offer.id;
  device.resource = resource.resource;
  device.group = offer.group;
  device.function = offer.function;
  device.driver = offer.driver;
  device.numa_node = offer.numa_node;
  if (offer.reason) device.reason = base::WordOf(*offer.reason);
  device.unhealthy = offer.unhealthy_reason;
  device.observe = offer.observe_reason;
  device.state = offer.healthy() ? State::kFree : State::kUnhealthy;
  return device;
}

// Makes a node of records, a device at a time.
class Builder {
 public:
  explicit Builder(const Records& records) : records_(records) {
    for (const core::Group& group : records.host.groups) {
      const std::string id = core::DeviceIdOf(group);
      if (!id.empty()) groups_[id] = &group;
    }
  }

  Node Build() {
    if (records_.config) {
      node_.pool = records_.config->pool;
      AddOffers();
    }
    if (records_.ledger) AddReservations(*records_.ledger);
    AddStrangers();
    const std::uint64_t windows = CountWindows(node_.pool);
    node_.free_windows = windows - std::min<std::uint64_t>(windows, reserved_.size());
    return std::move(node_);
  }

 private:
  Device& Find(const std::string& id) {
    const auto [place, is_new] = places_.emplace(id, node_.devices.size());
    if (is_new) {
      Device& device = node_.devices.emplace_back();
      device.id = id;
      device.function = id;
      if (const auto group = groups_.find(id); group != groups_.end()) {
        device.group = group->second->number;
        for (const core::Function& function : group->second->functions) {
          if (function.name != id) continue;
          device.driver = function.driver;
          device.numa_node = function.numa_node;
        }
      }
    }
    return node_.devices[place->second];
  }

  void AddOffers() {
    // Of two resources that select one group each is as good as the other here.
    for (const core::Resource& resource : records_.config->resources) {
      const auto offers = core::OfferAll(records_.host, {&resource, 1});
      if (!offers.ok()) continue;
      for (const core::Offer& offer : offers->front().offers) {
        if (!places_.emplace(offer.id, node_.devices.size()).second) continue;
        node_.devices.push_back(DeviceOf(offers->front(), offer));
        if (records_.config->mode == core::Mode::kObserve && node_.devices.back().observe.empty())
          node_.devices.back().observe = "the configuration says so";
      }
    }
  }

  void AddReservations(const core::Ledger& ledger) {
    for (const core::Reservation& reservation : ledger.reservations) {
      if (reservation.window) reserved_.insert(reservation.window->base);
      for (const core::Allocation& allocation : reservation.allocations) {
        for (const core::Holding& holding : allocation.holdings) {
          AddHolding(ledger, reservation, allocation, holding);
        }
      }
    }
  }

  void AddHolding(const core::Ledger& ledger, const core::Reservation& reservation,
                  const core::Allocation& allocation, const core::Holding& holding) {
    Device& device = Find(holding.device);
    if (device.resource.empty()) device.resource = allocation.resource;
    // Numbers of groups are those of a boot.
    if (ledger.boot_id == records_.boot_id) device.group = holding.group;
    device.state = reservation.started ? State::kStarted : State::kAllocated;
    device.since_ms = allocation.since_ms;
    device.pod = reservation.pod;
    if (holding.reserved) device.window = reservation.window;
    if (!holding.reserved && device.observe.empty()) device.observe = "the ledger says so";
  }

  // Whoever has moved their windows, nothing tells of them.
  void AddStrangers() {
    for (const auto& [id, group] : groups_) {
      if (group->knob != core::Knob::kPresent || group->window == core::kFixedWindow) continue;
      const bool is_new = places_.count(id) == 0;
      Device& device = Find(id);
      if (device.window || !device.observe.empty()) continue;
      if (is_new) device.state = State::kUnknown;
      node_.leftovers.push_back(
          {.device = id, .group = group->number, .window = *group->window, .since_ms = 0});
    }
  }

  const Records& records_;
  std::map<std::string, const core::Group*> groups_;  // by the ID of their device
  std::map<std::string, std::size_t> places_;         // of devices in the node
  std::set<std::uint64_t> reserved_;                  // where windows begin
  Node node_;
};

}  // namespace

Node NodeFrom(const Records& records) { return Builder(records).Build(); }

void AddKernel(const core::Inventory& host, Node& node) {
  std::map<std::string, const core::Group*> groups;
  for (const core::Group& group : host.groups) groups[core::DeviceIdOf(group)] = &group;
  for (Device& device : node.devices) {
    const auto found = groups.find(device.id);
    if (found == groups.end()) {
      device.kernel = {.is_read = false,
                       .window = {},
                       .error = "its IOMMU group is not there, or cannot be read"};
    } else {
      device.kernel = {.is_read = true, .window = found->second->window, .error = {}};
    }
  }
}

}  // namespace dp::ctl
