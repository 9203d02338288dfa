// SPDX-License-Identifier: Apache-2.0
#include "plugin/config/config_check.h"

#include <fmt/format.h>

#include "plugin/base/status_macros.h"
#include "plugin/core/offers.h"

namespace dp::config {

absl::StatusOr<std::string> CheckConfig(const std::string& path, const core::Config& config,
                                        const absl::StatusOr<core::Inventory>& host) {
  if (!host.ok()) {
    return fmt::format("{}: valid, but not compared with this host: {}", path,
                       std::string(host.status().message()));
  }
  RETURN_IF_ERROR(core::OfferAll(*host, config.resources).status());
  return fmt::format("{}: valid", path);
}

}  // namespace dp::config
