// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace dp::core {

// The kernel places windows on this grid (Documentation/ABI/testing/sysfs-kernel-iommu_groups,
// msi_window).
inline constexpr std::uint64_t kWindowGranule = 0x100000;

// A range of I/O virtual addresses at which a group's MSI doorbells are mapped: [base, base +
// size), in bytes.
struct Window {
  std::uint64_t base = 0;
  std::uint64_t size = 0;

  friend auto operator<=>(const Window&, const Window&) = default;
};

// What every kernel uses when nobody has chosen (IOMMU_RESV_SW_MSI, since Linux 4.11).
inline constexpr Window kFixedWindow{.base = 0x08000000, .size = kWindowGranule};

// "0x09000000 0x00100000": the text of the kernel's msi_window attribute.
std::string FormatWindow(Window window);
// Parses that text, with or without a newline at its end. InvalidArgument: anything else.
absl::StatusOr<Window> ParseWindow(std::string_view text);

}  // namespace dp::core
