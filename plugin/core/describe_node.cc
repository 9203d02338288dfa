// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/describe_node.h"

#include <map>
#include <string_view>
#include <utility>

namespace dp::core {
namespace {

struct Held {
  const Reservation* reservation;
  const Allocation* allocation;
  const Holding* holding;
};

std::map<std::string_view, Held> HeldDevices(const Reservations& reservations) {
  std::map<std::string_view, Held> devices;
  for (const Reservations::Lease& lease : reservations.leases()) {
    for (const Allocation& allocation : lease.reservation.allocations) {
      for (const Holding& holding : allocation.holdings) {
        devices[holding.device] = {&lease.reservation, &allocation, &holding};
      }
    }
  }
  return devices;
}

void AddHolder(const Held& held, DeviceStatus& device) {
  device.state = held.reservation->started ? DeviceState::kStarted : DeviceState::kAllocated;
  device.since_ms = held.allocation->since_ms;
  device.pod = held.reservation->pod;
  if (held.holding->reserved) device.window = held.reservation->window;
}

DeviceStatus Describe(std::string_view resource, const Offer& offer) {
  return {.id = offer.id,
          .resource = std::string(resource),
          .group = offer.group,
          .function = offer.function,
          .driver = offer.driver,
          .numa_node = offer.numa_node,
          .reason = offer.reason,
          .unhealthy = offer.unhealthy_reason,
          .observe = offer.observe_reason,
          .state = offer.healthy() ? DeviceState::kFree : DeviceState::kUnhealthy,
          .window = {},
          .pod = {},
          .last_failure = {}};
}

}  // namespace

NodeStatus DescribeNode(const Config& config, const Catalogue& catalogue,
                        const Reservations& reservations, const Books& books) {
  NodeStatus node{.mode = config.mode,
                  .pool = config.pool,
                  .windows = reservations.windows(),
                  .free_windows = reservations.free_windows(),
                  .groups_with_knob = catalogue.groups_with_knob(),
                  .groups_without_knob = catalogue.groups_without_knob(),
                  .knob_error = catalogue.knob_error(),
                  .ledger_generation = books.generation(),
                  .ledger_error = books.error(),
                  .pods_error = {},
                  .devices = {},
                  .leftovers = reservations.DescribeLeftovers()};
  std::map<std::string_view, Held> held = HeldDevices(reservations);
  for (const ResourceOffers& resource : catalogue.offers()) {
    for (const Offer& offer : resource.offers) {
      DeviceStatus& device = node.devices.emplace_back(Describe(resource.resource, offer));
      const auto holder = held.find(offer.id);
      if (holder == held.end()) continue;
      AddHolder(holder->second, device);
      held.erase(holder);
    }
  }
  for (const auto& [id, holder] : held) {
    DeviceStatus& device = node.devices.emplace_back();
    device.id = std::string(id);
    device.group = holder.holding->group;
    AddHolder(holder, device);
  }
  return node;
}

}  // namespace dp::core
