// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/guest/memory_map.h"

namespace dp::guest {

// What is more than that is no such object: the API server takes less (etcd's limit, 1.5 MiB).
inline constexpr std::size_t kMostVmiBytes = std::size_t{4} << 20;
inline constexpr int kMostVmiDepth = 64;

// What matters here of a VirtualMachineInstance of KubeVirt (kubevirt.io/api/core/v1).
struct Vmi {
  std::string space;  // its namespace
  std::string name;
  std::string architecture;   // of its processors, as "arm64"; empty: the cluster's default
  std::uint64_t ram = 0;      // bytes that the guest starts with
  std::uint64_t max_ram = 0;  // memory.maxGuest; 0: not given
  std::vector<std::string> resources;  // deviceName of its hostDevices and gpus, in their order
};

// Reads a VirtualMachineInstance, or the template of a VirtualMachine, from JSON. The size of RAM
// is that of memory.guest, else of the request for memory, else of its limit, as KubeVirt takes it
// (pkg/virt-launcher/virtwrap/converter/vcpu, GetVirtualMemory). InvalidArgument: neither of them,
// or without a size; names the field, as a JSON pointer.
absl::StatusOr<Vmi> ParseVmi(std::string_view text);
// The same of a value. With an error, `field` is the field that it is about, as a JSON pointer.
absl::StatusOr<Vmi> ReadVmi(const nlohmann::json& object, std::string& field);

// What libvirt asks QEMU for: whole MiB, and no slots.
Layout LayoutOf(const Vmi& vmi);

}  // namespace dp::guest
