// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/pci_address.h"
#include "plugin/guest/memory_map.h"

namespace dp::domain {

// What matters here of a domain of libvirt (https://libvirt.org/formatdomain.html).
struct Domain {
  std::string name;     // empty: none
  std::string arch;     // of its processors, as "aarch64"; empty: the host's
  std::string machine;  // as "virt" or "virt-10.1"; empty: libvirt's choice
  // In bytes, each a multiple of 1 MiB, as libvirt makes them (qemuDomainAlignMemorySizes() in
  // src/qemu/qemu_domain.c).
  std::uint64_t ram = 0;      // that the guest starts with
  std::uint64_t max_ram = 0;  // <maxMemory>; 0: none
  std::uint32_t slots = 0;
  // PCI functions of the host that it is given, in their order.
  std::vector<core::PciAddress> devices;
  // What gives the guest an SMMUv3, as a clause: "line 9: <iommu model='smmuv3'>". Empty: nothing.
  std::string smmu;
  // What may put memory elsewhere than Layout says, a clause each: "line 7: qemu:arg \"-m\"".
  std::vector<std::string> unknown_memory;
  // What may give it devices that are not in `devices`, or may size the 64-bit PCI window; clauses.
  std::vector<std::string> unknown_devices;
  std::vector<std::string> unknown_pci;

  // Whether it is the machine whose memory map is known: QEMU's `virt` for 64-bit arm.
  [[nodiscard]] bool is_virt() const;

  friend bool operator==(const Domain&, const Domain&) = default;
};

// Reads a domain as libvirt takes it when it is defined: what libvirt does not know is passed over,
// a hostdev may lack its `mode` (KubeVirt leaves it out), numbers of an address are decimal, octal
// or hexadecimal, and memory that NUMA cells have is all that there is. What libvirt would take the
// first of, as two <memory>, is refused. InvalidArgument: no such domain; one sentence in one line
// of ASCII that names line and element.
absl::StatusOr<Domain> ParseDomain(std::string_view xml);

// What libvirt asks QEMU for. Only for a machine that is known, and as far as there is nothing in
// `unknown_memory`.
guest::Layout LayoutOf(const Domain& domain);

}  // namespace dp::domain
