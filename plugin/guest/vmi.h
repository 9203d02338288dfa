// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/guest/memory_map.h"

namespace dp::guest {

// What matters here of a VirtualMachineInstance of KubeVirt (kubevirt.io/api/core/v1).
struct Vmi {
  std::string space;  // its namespace
  std::string name;
  std::uint64_t ram = 0;               // bytes that the guest starts with
  std::uint64_t max_ram = 0;           // memory.maxGuest; 0: not given
  std::vector<std::string> resources;  // deviceName of its hostDevices and gpus, in their order
};

// Reads a VirtualMachineInstance, or the template of a VirtualMachine, from JSON. The size of RAM
// is that of memory.guest, else of the request for memory, else of its limit, as KubeVirt takes it
// (pkg/virt-launcher/virtwrap/converter/vcpu, GetVirtualMemory). InvalidArgument: neither of them,
// or without a size; names the field, as a JSON pointer.
absl::StatusOr<Vmi> ParseVmi(std::string_view text);

// What libvirt asks QEMU for: whole MiB, and no slots.
Layout LayoutOf(const Vmi& vmi);

}  // namespace dp::guest
