// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/window.h"

// Where a virtual machine on arm64 has what a VMM maps for DMA at the address that the guest knows
// it by, and whether a doorbell window meets that. The machine is QEMU's `virt` (hw/arm/virt.c),
// the only one that KubeVirt makes on arm64. Pure functions.
namespace dp::guest {

inline constexpr std::uint64_t kMib = 0x100000;
inline constexpr std::uint64_t kGib = 0x40000000;

// A window outside of this range may overlap the memory of some virtual machine: it is what QEMU,
// cloud-hypervisor, Firecracker, crosvm and kvmtool all leave free of RAM and of PCI devices on
// arm64, whatever the size of the guest. The MiB below it is not free: there QEMU's virt machine
// under KVM has the stolen-time pages of its guest, at 0x090a0000, and maps them for DMA as it maps
// all memory (VIRT_PVTIME in hw/arm/virt.c; seen with QEMU 7.2: VFIO_MAP_DMA of "pvtime" fails and
// the VM does not start).
inline constexpr std::uint64_t kProvenStart = 0x09100000;
inline constexpr std::uint64_t kProvenEnd = 0x10000000;

enum class Use {
  kStolenTime,  // where KVM tells the virtual processors how long they were kept waiting
  kRam,
  kDeviceMemory,  // where memory can be plugged in
  kPciMmio32,     // BARs of the guest's PCI devices
  kPciMmio64,
};

// "RAM": as messages name it.
std::string_view UseName(Use use);

// Addresses of the guest, [start, end), in bytes.
struct Range {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  Use use = Use::kRam;

  friend bool operator==(const Range&, const Range&) = default;
};

// "[0x40000000, 0x80000000)".
std::string FormatRange(std::uint64_t start, std::uint64_t end);

// The options of the machine that move anything.
struct Layout {
  std::uint64_t ram = 0;              // bytes that it starts with: -m SIZE
  std::uint64_t max_ram = 0;          // -m SIZE,maxmem=; 0: as `ram`
  std::uint32_t slots = 0;            // -m SIZE,slots=: for memory that is plugged in
  bool highmem = true;                // -M highmem=; without it nothing lies above 4 GiB
  std::uint64_t mmio64 = 512 * kGib;  // -M highmem-mmio-size=, since QEMU 10.0
  std::uint32_t address_bits = 48;    // that the guest's processor, or the host's KVM, has for them
};

// Every such range, in order of address. InvalidArgument: QEMU does not start with these options,
// and why.
absl::StatusOr<std::vector<Range>> MemoryMap(const Layout& layout);

enum class Judgement {
  kAccept,
  kWarn,    // the VM works; devices cannot reach each other where they meet
  kReject,  // the VM does not start, or its interrupts would be lost
};

struct Verdict {
  Judgement judgement = Judgement::kAccept;
  std::string reason;        // one sentence that names both ranges; empty: accepted
  std::optional<Range> met;  // what is in its way
};

// Whether a doorbell window may lie there, in a guest with this map.
Verdict Judge(const core::Window& window, std::span<const Range> map);

}  // namespace dp::guest
