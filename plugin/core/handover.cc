// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/handover.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace dp::core {
namespace {

std::vector<std::string> DevicesOf(std::span<const Target> targets) {
  std::vector<std::string> devices;
  devices.reserve(targets.size());
  for (const Target& target : targets) devices.push_back(target.offer.id);
  return devices;
}

// The window goes back to the pool, unless groups are left that still have it.
void GiveBack(const Tools& tools, const Allocation& allocation, const std::optional<Window>& window,
              std::span<const WindowWriter::Previous> stuck) {
  if (!window) return;
  std::vector<std::uint32_t> groups;
  for (const WindowWriter::Previous& previous : stuck) groups.push_back(previous.group);
  tools.reservations.GiveBack(*window, allocation, groups);
}

}  // namespace

void Reserve(const Tools& tools, std::size_t resource, std::vector<Target>& targets,
             std::function<void(absl::StatusOr<Books::Entry>)> done) {
  std::vector<std::uint32_t> groups = tools.catalogue.GroupsToSteer(targets);
  std::optional<Window> window;
  if (!groups.empty()) {
    auto taken = tools.reservations.TakeWindow(DevicesOf(targets));
    if (!taken.ok()) {
      done(taken.status());
      return;
    }
    window = *taken;
  }
  const auto enter = [tools, resource, &targets, window,
                      done = std::move(done)](const WindowWriter::Outcome& outcome) {
    const auto refuse = [&](std::span<const WindowWriter::Previous> stuck, absl::Status status) {
      GiveBack(tools, tools.books.MakeAllocation(resource, targets), window, stuck);
      done(std::move(status));
    };
    if (!outcome.status.ok()) {
      refuse(outcome.written,
             Because(absl::IsUnavailable(outcome.status) ? base::Reason::kGroupBusy
                                                         : base::Reason::kWindowNotSet,
                     ForCaller(outcome.status, fmt::format("no window was set for {}",
                                                           fmt::join(DevicesOf(targets), ",")))));
      return;
    }
    tools.catalogue.SetWindow(targets, window);
    auto entry = tools.books.Enter(resource, targets, window, tools.timers.Now());
    if (!entry.ok()) {
      refuse(tools.writer.PutBack(outcome.written),
             base::InsteadOf(entry.status(), absl::InternalError(fmt::format(
                                                 "the reservation was not written down: {}",
                                                 std::string(entry.status().message())))));
      return;
    }
    done(std::move(entry));
  };
  if (groups.empty()) {
    enter({});
  } else {
    tools.writer.Write(std::move(groups), *window, WindowWriter::OnBusy::kWait, enter);
  }
}

}  // namespace dp::core
