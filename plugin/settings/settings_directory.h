// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/ports.h"

namespace dp::settings {

// A directory per allocation, with two files that say the same:
//   <root>/<key>/settings.json
//   <root>/<key>/settings.env
// A container gets the directory mounted, not a file, so that it would see a replaced file too.
// And, of an allocation whose device nodes are handed over by CDI, in the folder where container
// runtimes look for specifications:
//   <cdi>/vfio-doorbell_<key>.json
class SettingsDirectory final : public core::SettingsStore {
 public:
  SettingsDirectory(std::string root, std::string cdi);

  // Makes the root, but not the folder of CDI, if it is not there, and sees whether it can be
  // written to: better at start than at the first allocation. By errno; names the path.
  absl::Status Prepare();

  absl::StatusOr<std::string> Put(const std::string& key, const core::Settings& settings) override;
  absl::Status Remove(const std::string& key) override;
  absl::StatusOr<std::vector<std::string>> Keys() override;

 private:
  [[nodiscard]] std::string CdiFile(const std::string& key) const;

  const std::string root_;
  const std::string cdi_;
};

}  // namespace dp::settings
