// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/reservations.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/core/offers.h"

namespace dp::core {
namespace {

bool Contains(std::span<const std::string> devices, const std::string& device) {
  return std::find(devices.begin(), devices.end(), device) != devices.end();
}

}  // namespace

std::string MembersOf(const Group& group) {
  std::string members;
  for (const Function& function : group.functions) {
    if (!members.empty()) members += ' ';
    members += function.name;
  }
  return members;
}

Reservations::Reservations(Pool pool, MsiWindowKnob& knob, SettingsStore& settings)
    : pool_(pool), knob_(knob), settings_(settings) {}

std::size_t Reservations::Adopt(const Inventory& inventory) {
  std::map<Window, std::vector<HeldGroup>> found;
  for (const Group& group : inventory.groups) {
    if (group.knob != Knob::kPresent || !group.window || !pool_.Overlaps(*group.window)) continue;
    found[*group.window].push_back({.device = DeviceIdOf(group),
                                    .group = group.number,
                                    .members = MembersOf(group),
                                    .window = group.window,
                                    .ended = false});
  }
  for (auto& [window, holdings] : found) {
    pool_.Claim(window);
    reservations_.push_back(
        {.window = window, .holdings = std::move(holdings), .settings_key = ""});
  }
  return found.size();
}

const HeldGroup* Reservations::Find(const std::string& device) const {
  for (const Reservation& reservation : reservations_) {
    for (const HeldGroup& holding : reservation.holdings) {
      if (holding.device == device && !holding.ended) return &holding;
    }
  }
  return nullptr;
}

void Reservations::EndFormer(std::span<const std::string> devices) {
  for (Reservation& reservation : reservations_) {
    const bool ended =
        std::any_of(reservation.holdings.begin(), reservation.holdings.end(),
                    [&](const HeldGroup& holding) { return Contains(devices, holding.device); });
    if (!ended) continue;
    for (HeldGroup& holding : reservation.holdings) {
      if (!Contains(devices, holding.device)) holding.ended = true;
    }
  }
  ResetEnded();
}

void Reservations::ResetEnded() {
  for (Reservation& reservation : reservations_) {
    std::erase_if(reservation.holdings,
                  [this](const HeldGroup& holding) { return holding.ended && ResetOne(holding); });
  }
  DropEmpty("");
}

// Whether the group has let go of its window.
bool Reservations::ResetOne(const HeldGroup& holding) {
  if (!holding.window) return true;
  const absl::Status status = knob_.Reset(holding.group);
  // A group that is gone has taken its window along.
  if (status.ok() || absl::IsNotFound(status)) {
    log::Info("window released", {{"device", holding.device},
                                  {"group", holding.group},
                                  {"window", FormatWindow(*holding.window)}});
    return true;
  }
  log::Warning("window still held",
               {{"reason", absl::IsUnavailable(status) ? "group_busy" : "reset_refused"},
                {"device", holding.device},
                {"group", holding.group},
                {"error", status}});
  return false;
}

absl::StatusOr<Window> Reservations::TakeWindow(std::span<const std::string> devices) {
  if (const auto window = pool_.Take()) return *window;
  // The pool may be held by the very devices that are asked for; what they have has ended, so they
  // can have it again.
  for (const Reservation& reservation : reservations_) {
    const bool ours_alone =
        std::all_of(reservation.holdings.begin(), reservation.holdings.end(),
                    [&](const HeldGroup& holding) { return Contains(devices, holding.device); });
    if (!reservation.window || !ours_alone ||
        reservation.window->size != pool_.pool().window_size) {
      continue;
    }
    pool_.Claim(*reservation.window);
    return *reservation.window;
  }
  return absl::ResourceExhaustedError(fmt::format(
      "all {} windows of {:#x} bytes of the pool [{:#010x}, {:#010x}) are reserved, by {}",
      pool_.size(), pool_.pool().window_size, pool_.pool().start, pool_.pool().end,
      DescribeHolders()));
}

std::string Reservations::DescribeHolders() const {
  constexpr std::size_t kNamed = 4;
  std::vector<std::string_view> named;
  std::size_t count = 0;
  for (const Reservation& reservation : reservations_) {
    for (const HeldGroup& holding : reservation.holdings) {
      if (holding.window && count++ < kNamed) named.push_back(holding.device);
    }
  }
  std::string text = fmt::format("{}", fmt::join(named, ", "));
  if (count > kNamed) text += fmt::format(" and {} more devices", count - kNamed);
  return text;
}

void Reservations::GiveBack(Window window) { pool_.Release(window); }

void Reservations::Commit(std::optional<Window> window, std::vector<HeldGroup> holdings,
                          std::string settings_key) {
  for (Reservation& reservation : reservations_) {
    std::erase_if(reservation.holdings, [&](const HeldGroup& former) {
      return std::any_of(holdings.begin(), holdings.end(), [&](const HeldGroup& holding) {
        return former.device == holding.device || former.group == holding.group;
      });
    });
  }
  DropEmpty(settings_key);
  reservations_.push_back(
      {.window = window, .holdings = std::move(holdings), .settings_key = std::move(settings_key)});
}

void Reservations::KeepStuck(Window window, std::vector<HeldGroup> holdings) {
  for (HeldGroup& holding : holdings) {
    holding.window = window;
    holding.ended = true;
  }
  reservations_.push_back({.window = window, .holdings = std::move(holdings), .settings_key = ""});
}

void Reservations::DropEmpty(const std::string& settings_key_in_use) {
  std::erase_if(reservations_, [&](const Reservation& reservation) {
    if (!reservation.holdings.empty()) return false;
    if (reservation.window) pool_.Release(*reservation.window);
    if (reservation.settings_key.empty() || reservation.settings_key == settings_key_in_use) {
      return true;
    }
    if (const absl::Status status = settings_.Remove(reservation.settings_key); !status.ok()) {
      log::Warning("settings not removed", {{"reason", "settings_remove"}, {"error", status}});
    }
    return true;
  });
}

}  // namespace dp::core
