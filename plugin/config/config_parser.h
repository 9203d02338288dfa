// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "plugin/core/config.h"

namespace dp::config {

// Pools outside of this range may overlap the memory of some virtual machine: it is what QEMU,
// cloud-hypervisor, Firecracker, crosvm and kvmtool all leave free of RAM and of PCI devices on
// arm64, whatever the size of the guest. The MiB below it is not free: there QEMU's virt machine
// under KVM has the stolen-time pages of its guest, at 0x090a0000, and maps them for DMA as it maps
// all memory (VIRT_PVTIME in hw/arm/virt.c; seen with QEMU 7.2: VFIO_MAP_DMA of "pvtime" fails and
// the VM does not start).
inline constexpr std::uint64_t kProvenStart = 0x09100000;
inline constexpr std::uint64_t kProvenEnd = 0x10000000;

// Reads and validates the text of a configuration file. A pure function: neither the file nor the
// host is looked at. `file_name` is for messages. InvalidArgument: one line for each thing that is
// wrong, "FILE:LINE: KEY.PATH: REASON".
absl::StatusOr<core::Config> ParseConfig(std::string_view text, std::string_view file_name);

}  // namespace dp::config
