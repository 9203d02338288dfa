// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/offers.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "plugin/core/grace.h"

namespace dp::core {
namespace {

bool MatchesAddress(const std::vector<std::string>& globs, const std::string& name) {
  if (globs.empty()) return true;
  return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) {
    return fnmatch(glob.c_str(), name.c_str(), 0) == 0;
  });
}

bool MatchesIdentity(const Selector& selector, const PciIdentity& pci) {
  constexpr int kClassBytes = 3;
  if (selector.vendor && *selector.vendor != pci.vendor) return false;
  if (selector.device && *selector.device != pci.device) return false;
  if (selector.subsystem_vendor && *selector.subsystem_vendor != pci.subsystem_vendor) return false;
  if (selector.subsystem_device && *selector.subsystem_device != pci.subsystem_device) return false;
  if (!selector.class_prefix) return true;
  return pci.class_code >> (8 * (kClassBytes - selector.class_bytes)) == *selector.class_prefix;
}

// PCI functions come first, in topological order; names alone would put domain 10000 before 2000.
bool Lower(const Function& a, const Function& b) {
  if (a.pci && b.pci) return a.pci->address < b.pci->address;
  if (a.pci.has_value() != b.pci.has_value()) return a.pci.has_value();
  return a.name < b.name;
}

const Function* LowestPciFunction(const Group& group) {
  const Function* lowest = nullptr;
  for (const Function& function : group.functions) {
    if (!function.pci || function.is_bridge()) continue;
    if (lowest == nullptr || Lower(function, *lowest)) lowest = &function;
  }
  return lowest;
}

const Function* LowestMatch(const Group& group, const Resource& resource) {
  const Function* lowest = nullptr;
  for (const Function& function : group.functions) {
    if (lowest != nullptr && Lower(*lowest, function)) continue;
    for (const Selector& selector : resource.selectors) {
      if (!Matches(selector, function)) continue;
      lowest = &function;
      break;
    }
  }
  return lowest;
}

std::string ObserveReason(const Group& group, const Resource& resource) {
  if (resource.observe) return "the configuration says so";
  if (const Function* grace = FindGrace(group)) {
    return fmt::format("{} is a Grace GPU, whose guest knows the default window only", grace->name);
  }
  return {};
}

struct Unhealthy {
  std::optional<base::Reason> reason;
  std::string text;
};

Unhealthy WhyUnhealthy(const Group& group, const Function& attached) {
  if (attached.driver.empty()) {
    return {base::Reason::kNoDriver,
            fmt::format("{} has no driver; a VFIO driver must be bound to it", attached.name)};
  }
  if (!IsOnVfioDriver(attached)) {
    return {base::Reason::kForeignDriver,
            fmt::format("{} is on driver {}, which is not a VFIO driver", attached.name,
                        attached.driver)};
  }
  for (const Function& sibling : group.functions) {
    if (sibling.is_bridge() || sibling.driver.empty() || IsOnVfioDriver(sibling)) continue;
    return {base::Reason::kForeignSibling,
            fmt::format("{} in the same IOMMU group is on driver {}, which is not a VFIO driver",
                        sibling.name, sibling.driver)};
  }
  const Function* grace = FindGrace(group);
  if (grace != nullptr && group.window && *group.window != kFixedWindow) {
    return {base::Reason::kGraceWindowMoved,
            fmt::format("the window of its IOMMU group is {}, and the guest of a Grace GPU ({}) "
                        "knows only {}",
                        FormatWindow(*group.window), grace->name, FormatWindow(kFixedWindow))};
  }
  return {};
}

absl::Status CheckSelectedOnce(const Group& group, std::span<const Resource> resources) {
  const Resource* owner = nullptr;
  for (const Resource& resource : resources) {
    const Function* match = LowestMatch(group, resource);
    if (match == nullptr) continue;
    if (owner != nullptr) {
      return absl::InvalidArgumentError(
          fmt::format("resources {} (line {}) and {} (line {}) both select IOMMU group {}, which "
                      "holds {} and {}",
                      owner->name, owner->line, resource.name, resource.line, group.number,
                      LowestMatch(group, *owner)->name, match->name));
    }
    owner = &resource;
  }
  return absl::OkStatus();
}

// A selector for vfio-pci may match only then.
Group AfterBinding(Group group) {
  for (Function& function : group.functions) {
    if (function.pci && !function.is_bridge() && !IsOnVfioDriver(function))
      function.driver = "vfio-pci";
  }
  return group;
}

absl::Status CheckSelectedOnce(const Inventory& inventory, std::span<const Resource> resources) {
  for (const Group& group : inventory.groups) {
    if (absl::Status status = CheckSelectedOnce(group, resources); !status.ok()) return status;
    const bool is_bound =
        std::any_of(group.functions.begin(), group.functions.end(),
                    [&](const Function& function) { return AsksToBind(resources, function); });
    if (!is_bound) continue;
    absl::Status status = CheckSelectedOnce(AfterBinding(group), resources);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

const Offer* ResourceOffers::Find(std::string_view id) const {
  const auto found = std::lower_bound(
      offers.begin(), offers.end(), id,
      [](const Offer& offer, std::string_view wanted) { return IdBefore(offer.id, wanted); });
  return found != offers.end() && found->id == id ? &*found : nullptr;
}

bool Matches(const Selector& selector, const Function& function) {
  if (!function.pci || function.is_bridge()) return false;
  if (selector.driver && *selector.driver != function.driver) return false;
  if (selector.numa_node && selector.numa_node != function.numa_node) return false;
  return MatchesIdentity(selector, *function.pci) &&
         MatchesAddress(selector.addresses, function.name);
}

const Function* FindGrace(const Group& group) {
  const auto found =
      std::find_if(group.functions.begin(), group.functions.end(), [](const Function& function) {
        return function.pci && IsGrace(function.pci->vendor, function.pci->device);
      });
  return found == group.functions.end() ? nullptr : &*found;
}

bool IsVfioDriver(std::string_view driver) { return driver.find("vfio") != std::string_view::npos; }

bool IsOnVfioDriver(const Function& function) {
  return !function.cdev.empty() || IsVfioDriver(function.driver);
}

bool AsksToBind(std::span<const Resource> resources, const Function& function) {
  return std::any_of(resources.begin(), resources.end(), [&](const Resource& resource) {
    return std::any_of(
        resource.selectors.begin(), resource.selectors.end(),
        [&](const Selector& selector) { return selector.bind && Matches(selector, function); });
  });
}

std::string DeviceIdOf(const Group& group) {
  const Function* lowest = LowestPciFunction(group);
  return lowest == nullptr ? std::string() : lowest->name;
}

std::optional<Offer> OfferGroup(const Group& group, const Resource& resource) {
  const Function* attached = LowestMatch(group, resource);
  const Function* lowest = LowestPciFunction(group);
  if (attached == nullptr || lowest == nullptr) return std::nullopt;
  Unhealthy unhealthy = WhyUnhealthy(group, *attached);
  return Offer{.id = lowest->name,
               .function = attached->name,
               .group = group.number,
               .numa_node = attached->numa_node,
               .unhealthy_reason = std::move(unhealthy.text),
               .reason = unhealthy.reason,
               .driver = attached->driver,
               .observe_reason = ObserveReason(group, resource)};
}

absl::StatusOr<std::vector<ResourceOffers>> OfferAll(const Inventory& inventory,
                                                     std::span<const Resource> resources) {
  if (absl::Status status = CheckSelectedOnce(inventory, resources); !status.ok()) return status;
  std::vector<ResourceOffers> all;
  all.reserve(resources.size());
  for (const Resource& resource : resources) {
    ResourceOffers& made = all.emplace_back();
    made.resource = resource.name;
    for (const Group& group : inventory.groups) {
      if (auto offer = OfferGroup(group, resource)) made.offers.push_back(*std::move(offer));
    }
    std::sort(made.offers.begin(), made.offers.end(),
              [](const Offer& a, const Offer& b) { return IdBefore(a.id, b.id); });
  }
  return all;
}

}  // namespace dp::core
