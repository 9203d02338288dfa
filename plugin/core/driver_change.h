// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/driver_record.h"
#include "plugin/core/ports.h"

// How functions get to vfio-pci and back: all of them or none. Everything here blocks for as long
// as the drivers like, and has no state but what it is given.
namespace dp::core {

inline constexpr char kVfioPci[] = "vfio-pci";

// Functions that the host does not use, and cannot begin to use.
struct ClaimedFunctions {
  std::vector<DriverState> states;
  std::vector<std::unique_ptr<Claim>> claims;  // of each
};
// Those that are on a VFIO driver already are left out. Not Ok: the first thing that is in the way;
// nothing has been changed.
absl::StatusOr<ClaimedFunctions> ClaimFunctions(PciDrivers& drivers,
                                                std::span<const std::string> addresses);

struct DriverChange {
  absl::Status status;
  // Ok: none. Otherwise the functions that are neither where they were nor where they should be.
  std::vector<std::string> stuck;
};

// Binds vfio-pci to each of them. If that fails for one, all are put back to what `former` says, in
// the same order.
DriverChange BindFunctions(PciDrivers& drivers, ClaimedFunctions functions,
                           std::span<const DriverState> former);

// Gives functions of one IOMMU group, or one that has none, the drivers they had. What somebody
// else has bound or set since is left. Unavailable: a VMM has the group, and nothing has been
// changed.
DriverChange RestoreFunctions(PciDrivers& drivers, std::optional<std::uint32_t> group,
                              std::span<const DriverState> former);

}  // namespace dp::core
