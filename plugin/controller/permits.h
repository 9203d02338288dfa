// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "plugin/core/config.h"

namespace dp::controller {

// One entry of ours in permittedHostDevices.pciHostDevices, always with externalResourceProvider.
struct Permit {
  std::string selector;  // pciVendorSelector, "1B36:0010" or "1B36:*"
  std::string resource;  // resourceName, "vendor.example/nvme"

  friend bool operator==(const Permit&, const Permit&) = default;
};

// Why a resource is left out, or what its administrator should know.
struct Remark {
  std::string reason;  // a word for programs: "nvidia_any"
  std::string resource;
  std::size_t line = 0;  // in the configuration
  std::string text;      // one sentence

  friend bool operator==(const Remark&, const Remark&) = default;
};

// What the configuration wants KubeVirt to permit.
struct Permits {
  // By resource, in the order of the configuration. Those of Grace GPUs come last in a resource,
  // because KubeVirt judges a resource by the last one.
  std::vector<Permit> permits;
  std::vector<Remark> refused;   // resources that are left out as a whole
  std::vector<Remark> warnings;  // of resources in `permits`
};

// KubeVirt knows a device by vendor and device alone. A selector's further fields make it narrower,
// which KubeVirt need not know: with externalResourceProvider it looks at no device, and uses the
// selector only to tell a Grace GPU (pkg/virt-handler/device-manager/device_controller.go,
// pkg/util/hardware/grace.go of v1.9.0).
//
// Refused, with the whole resource, because what is permitted is permitted by the resource's name:
//   no_vendor   a selector without a vendor, which cannot be written;
//   nvidia_any  one of NVIDIA without a device, behind which a Grace GPU could hide: KubeVirt
//   rejects
//               VMs with it when GraceIOVirtualization is on.
// Warned of: grace, as the guest of such a GPU keeps the default window; grace_mixed, if the same
// resource has other devices, which KubeVirt then takes for Grace GPUs.
Permits PermitsOf(const core::Config& config);

}  // namespace dp::controller
