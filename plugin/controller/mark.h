// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/controller/permits.h"

namespace dp::controller {

// An annotation of the KubeVirt CR that says what of it is ours: an entry has no field for it.
inline constexpr char kMark[] = "vfio-doorbell.io/permitted-host-devices";

// The lists that hold what is ours, and the objects around them, as JSON pointers.
inline constexpr char kConfiguration[] = "/spec/configuration";
inline constexpr char kPermitted[] = "/spec/configuration/permittedHostDevices";
inline constexpr char kPciDevices[] = "/spec/configuration/permittedHostDevices/pciHostDevices";
inline constexpr char kDeveloper[] = "/spec/configuration/developerConfiguration";
inline constexpr char kGates[] = "/spec/configuration/developerConfiguration/featureGates";

struct Mark {
  std::vector<Permit> permits;
  bool feature_gate = false;  // whether we have added HostDevices
  // Which of the five above were missing and that we have made, so that they go
  // again with what is in them: KubeVirt checks devices against a permittedHostDevices as soon as
  // there is one, even if it is empty (pkg/virt-controller/services/renderresources.go).
  std::vector<std::string> made;

  [[nodiscard]] bool empty() const { return permits.empty() && !feature_gate && made.empty(); }
  friend bool operator==(const Mark&, const Mark&) = default;
};

// {"version":1,"pciHostDevices":[["1B36:0010","vendor.example/nvme"]],"featureGate":true,
//  "made":["/spec/configuration"]}
std::string FormatMark(const Mark& mark);
// InvalidArgument: not what FormatMark() writes; a clause about "it".
absl::StatusOr<Mark> ParseMark(std::string_view text);

}  // namespace dp::controller
