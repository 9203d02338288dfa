// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace dp::guest {

// Bytes of a quantity as Kubernetes writes it (k8s.io/apimachinery, pkg/api/resource: Quantity):
// "1Gi", "1500M", "1e9", "1.5Gi", "100m". What is no whole number is rounded up, as
// Quantity.Value() does. InvalidArgument: no quantity, or not above 0. OutOfRange: more than 2^63
// - 1.
absl::StatusOr<std::uint64_t> ParseQuantity(std::string_view text);

}  // namespace dp::guest
