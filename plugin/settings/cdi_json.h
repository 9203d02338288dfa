// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "plugin/core/settings.h"

namespace dp::settings {

// The CDI specification (Container Device Interface 0.5.0, tags.cncf.io) of one device, `key` of
// the kind that the resource is called: the device nodes of an allocation, owned in the container
// by user and group 107, KubeVirt's `qemu`, and its settings as variables. As text, with a newline
// at its end.
std::string ToCdiJson(const std::string& key, const core::Settings& settings);

}  // namespace dp::settings
