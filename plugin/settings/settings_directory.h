// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/ports.h"

namespace dp::settings {

// A directory per allocation, with one file, settings.json:
//   <root>/<key>/settings.json
// A container gets the directory mounted, not the file, so that it would see a replaced file too.
class SettingsDirectory final : public core::SettingsStore {
 public:
  explicit SettingsDirectory(std::string root);

  // Makes the root if it is not there, and sees whether it can be written to: better at start than
  // at the first allocation. By errno; names the path.
  absl::Status Prepare();

  absl::StatusOr<std::string> Put(const std::string& key, const core::Settings& settings) override;
  absl::Status Remove(const std::string& key) override;
  absl::StatusOr<std::vector<std::string>> Keys() override;

 private:
  const std::string root_;
};

}  // namespace dp::settings
