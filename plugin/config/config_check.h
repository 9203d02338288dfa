// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "plugin/core/config.h"
#include "plugin/core/inventory.h"

namespace dp::config {

// What is to be said of a configuration, read from `path`, on a host: "PATH: valid", with the
// reason if the host could not be looked at. InvalidArgument: see core::OfferAll(). A machine
// without an IOMMU, as in a build pipeline, says nothing about a configuration.
absl::StatusOr<std::string> CheckConfig(const std::string& path, const core::Config& config,
                                        const absl::StatusOr<core::Inventory>& host);

}  // namespace dp::config
