// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/driver_change.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/core/offers.h"

// driver_override comes before the unbinding: whoever lets the kernel look for drivers in between,
// for whatever function, gets vfio-pci for this one. Bound with new_id instead, vfio-pci would take
// every function of the same IDs.

namespace dp::core {
namespace {

absl::Status BindOne(PciDrivers& drivers, const DriverState& state, std::unique_ptr<Claim>& claim) {
  RETURN_IF_ERROR(drivers.SetOverride(state.address, kVfioPci));
  if (!state.driver.empty()) RETURN_IF_ERROR(drivers.Unbind(state.address, state.driver));
  // The driver may keep what it has lost until it is closed.
  claim.reset();
  RETURN_IF_ERROR(drivers.Probe(state.address));
  ASSIGN_OR_RETURN(const DriverState now, drivers.Read(state.address));
  if (now.driver == kVfioPci) return absl::OkStatus();
  return absl::InternalError(
      fmt::format("vfio-pci does not take {}; the kernel's log says why", state.address));
}

// Takes vfio-pci off it.
absl::Status Detach(PciDrivers& drivers, const DriverState& former) {
  const auto now = drivers.Read(former.address);
  if (absl::IsNotFound(now.status())) return absl::OkStatus();
  if (!now.ok()) return now.status();
  if (now->driver_override == kVfioPci)
    RETURN_IF_ERROR(drivers.SetOverride(former.address, former.driver_override));
  if (now->driver != kVfioPci || former.driver == kVfioPci) return absl::OkStatus();
  return drivers.Unbind(former.address, kVfioPci);
}

// Gives it the driver it had, if it has none now.
absl::Status Reattach(PciDrivers& drivers, const DriverState& former) {
  if (former.driver.empty()) return absl::OkStatus();
  const auto now = drivers.Read(former.address);
  if (absl::IsNotFound(now.status())) return absl::OkStatus();
  if (!now.ok()) return now.status();
  if (!now->driver.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(drivers.Probe(former.address));
  ASSIGN_OR_RETURN(const DriverState then, drivers.Read(former.address));
  if (then.driver == former.driver) return absl::OkStatus();
  return absl::InternalError(fmt::format("{} was on driver {} and is on {} now", former.address,
                                         former.driver,
                                         then.driver.empty() ? "none" : then.driver));
}

// Remembers the first of several failures.
class PutBack {
 public:
  void Note(const DriverState& former, const absl::Status& status) {
    if (status.ok()) return;
    if (change_.status.ok()) change_.status = status;
    if (std::find(change_.stuck.begin(), change_.stuck.end(), former.address) ==
        change_.stuck.end()) {
      change_.stuck.push_back(former.address);
    }
  }
  [[nodiscard]] DriverChange Take() { return std::move(change_); }

 private:
  DriverChange change_;
};

}  // namespace

absl::StatusOr<ClaimedFunctions> ClaimFunctions(PciDrivers& drivers,
                                                std::span<const std::string> addresses) {
  RETURN_IF_ERROR(drivers.FindDriver(kVfioPci));
  ClaimedFunctions functions;
  for (const std::string& address : addresses) {
    ASSIGN_OR_RETURN(auto claim, drivers.ClaimFromHost(address));
    ASSIGN_OR_RETURN(DriverState state, drivers.Read(address));
    // It has come there since the scan, and a VMM may have it already.
    if (IsVfioDriver(state.driver)) continue;
    functions.claims.push_back(std::move(claim));
    functions.states.push_back(std::move(state));
  }
  return functions;
}

DriverChange BindFunctions(PciDrivers& drivers, ClaimedFunctions functions,
                           std::span<const DriverState> former) {
  absl::Status status;
  std::size_t touched = 0;
  while (status.ok() && touched < functions.states.size()) {
    status = BindOne(drivers, functions.states[touched], functions.claims[touched]);
    ++touched;
  }
  if (status.ok()) return {};
  functions.claims.clear();
  PutBack put_back;
  for (const DriverState& state : former.first(touched)) {
    const absl::Status detached = Detach(drivers, state);
    put_back.Note(state, detached.ok() ? Reattach(drivers, state) : detached);
  }
  DriverChange failed = put_back.Take();
  failed.status = absl::Status(
      status.code(),
      failed.stuck.empty()
          ? fmt::format("{}; all is as it was before", std::string(status.message()))
          : fmt::format("{}; and {} cannot be put back: {}", std::string(status.message()),
                        fmt::join(failed.stuck, ", "), std::string(failed.status.message())));
  return failed;
}

DriverChange RestoreFunctions(PciDrivers& drivers, std::optional<std::uint32_t> group,
                              std::span<const DriverState> former) {
  const auto fail = [&](absl::Status status) {
    DriverChange failed{.status = std::move(status), .stuck = {}};
    for (const DriverState& state : former) failed.stuck.push_back(state.address);
    return failed;
  };
  // An unbinding waits, in the kernel and without end, for a VMM that has the device.
  std::unique_ptr<Claim> claim;
  if (group) {
    auto claimed = drivers.ClaimFromVmm(*group);
    // Without a node nothing of the group is on VFIO, and it cannot be opened.
    if (!claimed.ok() && !absl::IsNotFound(claimed.status())) return fail(claimed.status());
    if (claimed.ok()) claim = *std::move(claimed);
  }
  PutBack put_back;
  for (const DriverState& state : former) put_back.Note(state, Detach(drivers, state));
  claim.reset();
  for (const DriverState& state : former) put_back.Note(state, Reattach(drivers, state));
  return put_back.Take();
}

}  // namespace dp::core
