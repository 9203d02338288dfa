// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/base/reason.h"
#include "plugin/core/config.h"
#include "plugin/core/inventory.h"

// Which groups of the host a resource offers, and in what state. Pure functions of facts and
// configuration.
namespace dp::core {

// One advertised Device: a whole IOMMU group, because VFIO hands out nothing smaller.
struct Offer {
  // PCI address of the group's lowest function that is not a bridge. It names the Device; the
  // number of the group does not, because it changes between boots.
  std::string id;
  // The lowest function that the selectors of the resource match: the one a VM attaches.
  std::string function;
  std::uint32_t group = 0;  // its number in this boot
  std::optional<int> numa_node;
  std::string unhealthy_reason;             // one clause; empty: healthy
  std::optional<base::Reason> reason = {};  // the same as a word
  std::string driver = {};                  // of that function; empty: none
  // Why its window is left alone, of what configuration and device say; empty: it need not be.
  std::string observe_reason = {};

  [[nodiscard]] bool healthy() const { return unhealthy_reason.empty(); }
  // Whether the kubelet would be told the same. The driver is for people.
  friend bool operator==(const Offer& a, const Offer& b) {
    return std::tie(a.id, a.function, a.group, a.numa_node, a.unhealthy_reason, a.observe_reason) ==
           std::tie(b.id, b.function, b.group, b.numa_node, b.unhealthy_reason, b.observe_reason);
  }
};

// The order of device IDs as PCI addresses. It is that of their texts once their lengths are equal:
// only the domain varies in width, and it has no leading zeros beyond four digits.
constexpr bool IdBefore(std::string_view a, std::string_view b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

struct ResourceOffers {
  std::string resource;
  std::vector<Offer> offers;  // in the order of their IDs

  // Null: no such device.
  [[nodiscard]] const Offer* Find(std::string_view id) const;
};

// Whether every condition of the selector holds for the function. Bridges never match.
bool Matches(const Selector& selector, const Function& function);

// A member that is a Grace GPU (core/grace.h); null: none is.
const Function* FindGrace(const Group& group);

// Whether a driver of this name is VFIO's.
bool IsVfioDriver(std::string_view driver);

// Whether a driver of this function is VFIO's: the function has a vfio-dev entry, which only VFIO
// makes (Documentation/ABI/testing/sysfs-devices-vfio-dev, since Linux 6.1), or the driver is named
// after it, as vfio-pci and its variants (mlx5_vfio_pci, hisi_acc_vfio_pci, nvgrace-gpu-vfio-pci)
// are.
bool IsOnVfioDriver(const Function& function);

// Whether a selector that asks for binding (Selector::bind) matches the function.
bool AsksToBind(std::span<const Resource> resources, const Function& function);

// PCI address of the group's lowest function that is not a bridge; empty: there is none.
std::string DeviceIdOf(const Group& group);

// What `resource` makes of the group. Empty: no selector matches any member.
//
// Healthy: the function to attach is on a VFIO driver, and every other one that is not a bridge is
// on a VFIO driver or on none.
std::optional<Offer> OfferGroup(const Group& group, const Resource& resource);

// One entry per resource, in the order of `resources`.
// InvalidArgument: two resources select one group, or will once it is bound to vfio-pci; names
// both, and the group.
absl::StatusOr<std::vector<ResourceOffers>> OfferAll(const Inventory& inventory,
                                                     std::span<const Resource> resources);

}  // namespace dp::core
