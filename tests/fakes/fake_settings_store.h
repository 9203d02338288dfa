// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plugin/core/ports.h"

namespace dp::fakes {

class FakeSettingsStore final : public core::SettingsStore {
 public:
  std::map<std::string, core::Settings> settings;  // by key
  absl::Status put_status;                         // what Put() fails with

  absl::StatusOr<std::string> Put(const std::string& key, const core::Settings& value) override {
    if (!put_status.ok()) return put_status;
    settings[key] = value;
    return "/state/" + key;
  }
  absl::Status Remove(const std::string& key) override {
    settings.erase(key);
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<std::string>> Keys() override {
    std::vector<std::string> keys;
    for (const auto& [key, value] : settings) keys.push_back(key);
    return keys;
  }
};

}  // namespace dp::fakes
