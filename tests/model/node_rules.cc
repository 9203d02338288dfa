// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <utility>

#include "tests/model/node.h"

// What must hold, at any time and in the end.

namespace dp::model {

std::string Node::Broken() {
  std::map<core::Window, std::string> owners;
  for (const auto& pod : pods_) {
    std::set<core::Window> windows;
    for (const Container& container : pod->containers) {
      if (!container.running) continue;
      for (const auto& [id, told] : container.told) {
        const Device& device = Find(id);
        const core::Window in_force = *host_.Find(device.group)->window;
        if (in_force != told) {
          return fmt::format("{} of {} was told {} and has {}", id, pod->name,
                             core::FormatWindow(told), core::FormatWindow(in_force));
        }
        if (in_force == core::kFixedWindow) {
          return fmt::format("{} of {} has no window of its own", id, pod->name);
        }
        const auto [owner, fresh] = owners.emplace(in_force, pod->name);
        if (!fresh && owner->second != pod->name) {
          return fmt::format("{} and {} both have {}", owner->second, pod->name,
                             core::FormatWindow(in_force));
        }
        windows.insert(in_force);
        if (!Answers()) continue;
        const core::Reservation* reservation = FindReservation(id);
        if (reservation == nullptr || reservation->window != in_force)
          return fmt::format("{} of {} is not in the ledger", id, pod->name);
      }
    }
    if (pod->one_window && windows.size() > 1) {
      return fmt::format("{} has {} windows", pod->name, windows.size());
    }
  }
  if (!Answers()) return {};
  run_->broker->Rescan();
  for (std::size_t resource = 0; resource < kResources; ++resource) {
    for (const Device& device : devices_) {
      if (device.resource != resource) continue;
      const bool offered = run_->broker->offers()[resource].Find(device.id) != nullptr;
      if (offered != IsOffered(device)) {
        return fmt::format("{} is {}offered", device.id, offered ? "" : "not ");
      }
    }
  }
  return {};
}

std::string Node::Leftover() {
  if (!Answers()) return "the daemon does not start";
  for (const core::Group& group : host_.inventory.groups) {
    if (group.window != core::kFixedWindow) {
      return fmt::format("group {} has {}", group.number, core::FormatWindow(*group.window));
    }
  }
  if (!ledger_.ledger->reservations.empty()) {
    return fmt::format("the ledger has {} reservations", ledger_.ledger->reservations.size());
  }
  if (!settings_.settings.empty()) {
    return fmt::format("settings of {}", settings_.settings.begin()->first);
  }
  // The whole pool can be had.
  for (std::uint64_t window = 0; window < kWindows; ++window) {
    const auto share = Choose(window % kResources, 1);
    if (!share) return "a device is not free";
    if (const absl::Status status = CallAllocate(*share); !status.ok()) {
      return std::string(status.message());
    }
    pods_.push_back(std::make_unique<Pod>(
        Pod{.name = std::to_string(window), .containers = {{.shares = {*share}, .told = {}}}}));
  }
  return {};
}

}  // namespace dp::model
