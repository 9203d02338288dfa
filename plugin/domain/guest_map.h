// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/window.h"
#include "plugin/domain/domain.h"
#include "plugin/guest/memory_map.h"

namespace dp::domain {

// Where the guest has its memory. Where that cannot be told (Domain::unknown_memory), RAM goes from
// where it starts to the end of all addresses. FailedPrecondition: QEMU does not start this guest,
// and why. Only for a machine that is known.
absl::StatusOr<std::vector<guest::Range>> MapOf(const Domain& domain);

// Why it cannot be told whether the window meets the 64-bit PCI window of the guest; empty: it can.
std::string DoubtAbout(const Domain& domain, const core::Window& window);

}  // namespace dp::domain
