// SPDX-License-Identifier: Apache-2.0
#include "plugin/config/config_file.h"

#include <fmt/format.h>
#include <zlib.h>

#include "plugin/base/status_macros.h"
#include "plugin/config/config_parser.h"
#include "plugin/os/file.h"

namespace dp::config {

absl::StatusOr<core::Config> LoadConfigFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, os::ReadFile(path, kLongestConfigFile));
  ASSIGN_OR_RETURN(core::Config config, ParseConfig(text, path));
  config.hash =
      fmt::format("{:08x}", crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
  return config;
}

}  // namespace dp::config
