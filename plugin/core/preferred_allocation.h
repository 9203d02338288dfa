// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/offers.h"

namespace dp::core {

// Advises the kubelet which devices to take for a request (GetPreferredAllocation): `must_include`
// first, then devices on the NUMA nodes of those, then on the node that can hold the rest of the
// request, the tightest fit first so that larger requests still find room; devices without a node
// last. Within a node in the order of `offers`. The same question has always the same answer,
// whatever the order of the IDs in it.
//
// IDs in `available` that `offers` does not hold are no candidates.
// InvalidArgument: `size` is not positive or smaller than `must_include`, an ID of `must_include`
// is not in `available` or stands twice, or there are less than `size` candidates.
absl::StatusOr<std::vector<std::string>> PreferDevices(std::span<const Offer> offers,
                                                       std::span<const std::string> available,
                                                       std::span<const std::string> must_include,
                                                       int size);

}  // namespace dp::core
