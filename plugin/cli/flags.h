// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>

// The flags of all programs: each has a variable of the environment, and if it is given twice, its
// last value, so that a wrapper's flags can be overridden.
namespace dp::cli {

// --kubelet-dir -> VFIO_DOORBELL_KUBELET_DIR
std::string VariableOf(const std::string& flag);

template <typename T>
CLI::Option* AddValue(CLI::App& app, const std::string& flag, T& value, const std::string& help) {
  return app.add_option(flag, value, help)
      ->envname(VariableOf(flag))
      ->capture_default_str()
      ->take_last()
      ->type_name("");
}

CLI::Option* AddSwitch(CLI::App& app, const std::string& flag, bool& value,
                       const std::string& help);

// --log-level and --log-format, as log::ParseLevel() and log::ParseFormat() take them.
void AddLogLevel(CLI::App& app, std::string& level);
void AddLogFormat(CLI::App& app, std::string& format);

}  // namespace dp::cli
