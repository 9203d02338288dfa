// SPDX-License-Identifier: Apache-2.0
#include "plugin/config/config_file.h"

#include "plugin/base/status_macros.h"
#include "plugin/config/config_parser.h"
#include "plugin/os/file.h"

namespace dp::config {

absl::StatusOr<core::Config> LoadConfigFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, os::ReadFile(path, kLongestConfigFile));
  return ParseConfig(text, path);
}

}  // namespace dp::config
