// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dp::ctl {

// An event that an SMMUv3 has reported, or a number alone.
struct SmmuEvent {
  std::string name;    // "F_TRANSLATION"; "" for a number alone
  std::string client;  // the device, as the kernel names it; empty: it does not
  std::optional<std::uint32_t> stream;
  std::optional<std::uint64_t> iova;  // empty: it has none, or the lines with it are missing

  friend bool operator==(const SmmuEvent&, const SmmuEvent&) = default;
};

// More of a text is not read.
inline constexpr std::size_t kMostEventText = 65536;
inline constexpr std::size_t kMostEvents = 64;

// Reads a number, or lines of the kernel's log, whatever is before them in the line:
//  - "event 0x10 received:" and the four words below (drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c);
//  - "event: F_TRANSLATION client: 0000:00:10.0 sid: 0x80 ssid: 0x0 iova: 0x9100040 ipa: 0x0",
//  which
//    kernels since 6.14 print after them, and which then stands for both;
//  - "iova=0x9100040" or "iova: 0x9100040" of anybody else.
// Any text is answered; empty: there is nothing of that in it.
std::vector<SmmuEvent> ParseEvents(std::string_view text);

}  // namespace dp::ctl
