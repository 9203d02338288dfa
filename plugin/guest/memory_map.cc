// SPDX-License-Identifier: Apache-2.0
#include "plugin/guest/memory_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace dp::guest {
namespace {

// hw/arm/virt.c, base_memmap: the same in every release.
constexpr std::uint64_t kRamStart = 0x40000000;
constexpr Range kStolenTime{.start = 0x090a0000, .end = 0x090b0000, .use = Use::kStolenTime};
constexpr Range kPciMmio32{.start = 0x10000000, .end = 0x3eff0000, .use = Use::kPciMmio32};
// LEGACY_RAMLIMIT_BYTES: what lies above RAM does not begin below that, behind the start of RAM.
constexpr std::uint64_t kLeastRoomForRam = 255 * kGib;
// extended_memmap, in this order, each aligned to its size; before the 64-bit PCI window.
constexpr std::uint64_t kRedistributors = 64 * kMib;
constexpr std::uint64_t kConfigurationSpace = 256 * kMib;
constexpr std::uint32_t kMostSlots = 256;  // ACPI_MAX_RAM_SLOTS
// What `-m` rounds up to (softmmu/vl.c), and hence where RAM may end.
constexpr std::uint64_t kRamUnit = 8192;
// No processor has more bits (ARM ARM, FEAT_LPA2), and sums of a few such sizes fit 64 bits.
constexpr std::uint32_t kMostAddressBits = 52;

constexpr std::uint64_t RoundUp(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

absl::Status Refuse(const std::string& why) { return absl::InvalidArgumentError(why); }

bool Meet(const core::Window& window, const Range& range) {
  // Not base + size, which may be 2^64.
  return window.base < range.end &&
         (range.start <= window.base || range.start - window.base < window.size);
}

std::string FormatWindowRange(const core::Window& window) {
  if (window.size > std::numeric_limits<std::uint64_t>::max() - window.base)
    return fmt::format("[{:#x}, 2^64)", window.base);
  return FormatRange(window.base, window.base + window.size);
}

}  // namespace

std::string_view UseName(Use use) {
  switch (use) {
    case Use::kStolenTime:
      return "the page of stolen time";
    case Use::kRam:
      return "RAM";
    case Use::kDeviceMemory:
      return "the room for memory that is plugged in";
    case Use::kPciMmio32:
      return "the 32-bit PCI window";
    case Use::kPciMmio64:
      return "the 64-bit PCI window";
  }
  return "";
}

std::string FormatRange(std::uint64_t start, std::uint64_t end) {
  return fmt::format("[{:#x}, {:#x})", start, end);
}

absl::StatusOr<std::vector<Range>> MemoryMap(const Layout& layout) {
  if (layout.address_bits < 32 || layout.address_bits > kMostAddressBits) {
    return Refuse(fmt::format("no processor has {} bits for addresses", layout.address_bits));
  }
  const std::uint64_t space = std::uint64_t{1} << layout.address_bits;
  const std::uint64_t limit = layout.highmem ? space : std::uint64_t{4} * kGib;
  const std::uint64_t max_ram = layout.max_ram == 0 ? layout.ram : layout.max_ram;
  if (layout.ram == 0) return Refuse("a machine without RAM");
  if (max_ram < layout.ram) {
    return Refuse(fmt::format("it starts with {:#x} bytes of RAM and may have {:#x} at most",
                              layout.ram, max_ram));
  }
  if (layout.slots > kMostSlots) {
    return Refuse(fmt::format("{} slots for memory are more than {}", layout.slots, kMostSlots));
  }
  if (max_ram > limit || layout.mmio64 > space) {
    return Refuse(
        fmt::format("{:#x} bytes of RAM do not fit into {:#x} bytes of addresses", max_ram, limit));
  }

  const std::uint64_t ram = RoundUp(layout.ram, kRamUnit);
  std::vector<Range> map{
      kStolenTime, kPciMmio32, {.start = kRamStart, .end = kRamStart + ram, .use = Use::kRam}};
  const std::uint64_t pluggable =
      (max_ram > ram ? RoundUp(max_ram, kRamUnit) - ram : 0) + layout.slots * kGib;
  const std::uint64_t device_memory = RoundUp(kRamStart + ram, kGib);
  if (pluggable > 0) {
    map.push_back(
        {.start = device_memory, .end = device_memory + pluggable, .use = Use::kDeviceMemory});
  }
  const std::uint64_t top = device_memory + RoundUp(pluggable, kGib);
  if (top > limit) {
    return Refuse(
        fmt::format("memory up to {:#x} does not fit into {:#x} bytes of addresses", top, limit));
  }
  if (!layout.highmem || layout.mmio64 == 0) return map;

  std::uint64_t end = std::max(top, kRamStart + kLeastRoomForRam);
  for (const std::uint64_t size : {kRedistributors, kConfigurationSpace})
    end = RoundUp(end, size) + size;
  const std::uint64_t mmio64 = RoundUp(end, layout.mmio64);
  // What does not fit is left out, and the machine has only the 32-bit window.
  if (mmio64 + layout.mmio64 <= space)
    map.push_back({.start = mmio64, .end = mmio64 + layout.mmio64, .use = Use::kPciMmio64});
  return map;
}

Verdict Judge(const core::Window& window, std::span<const Range> map) {
  Verdict verdict;
  for (const Range& range : map) {
    if (!Meet(window, range)) continue;
    const bool is_pci = range.use == Use::kPciMmio32 || range.use == Use::kPciMmio64;
    const Judgement judgement = is_pci ? Judgement::kWarn : Judgement::kReject;
    if (judgement <= verdict.judgement) continue;
    verdict = {
        .judgement = judgement,
        .reason = fmt::format("the window {} meets {} of the guest, {}", FormatWindowRange(window),
                              UseName(range.use), FormatRange(range.start, range.end)),
        .met = range};
    if (is_pci) verdict.reason += ": devices cannot reach each other's BARs there";
  }
  return verdict;
}

}  // namespace dp::guest
