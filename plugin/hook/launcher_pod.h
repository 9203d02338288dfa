// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "plugin/core/ledger.h"

namespace dp::hook {

// Whether the pod is, by its name, one in which KubeVirt runs this virtual machine:
// virt-launcher-NAME-xxxxx, where what is before the last five characters is cut to 58 (kubevirt
// pkg/virt-controller/services/template.go, k8s.io/apiserver pkg/storage/names). A pod of a former
// run has such a name, too, and so has that of another VM whose long name begins alike.
bool IsLauncherOf(std::string_view space, std::string_view name, const core::PodName& pod);

}  // namespace dp::hook
