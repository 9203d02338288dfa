// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

// NVIDIA's Grace GPUs. KubeVirt gives a VM that has one an SMMUv3 of its own (`<iommu
// model='smmuv3'>` with accel='on'; GraceIOVirtualization, VEP 199), and QEMU tells the guest that
// MSIs of what is behind it go to 0x08000000 (IORT, build_iort_rmr_nodes in
// hw/arm/virt-acpi-build.c). The guest maps that address and no other, so its devices must keep the
// default window.
namespace dp::core {

// KubeVirt's pkg/virt-launcher/virtwrap/converter/grace.go.
inline constexpr std::uint16_t kNvidia = 0x10de;
inline constexpr std::array<std::uint16_t, 3> kGraceDevices{0x2342, 0x2348, 0x2941};

constexpr bool IsGrace(std::uint16_t vendor, std::uint16_t device) {
  return vendor == kNvidia &&
         std::find(kGraceDevices.begin(), kGraceDevices.end(), device) != kGraceDevices.end();
}

}  // namespace dp::core
