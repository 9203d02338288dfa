// SPDX-License-Identifier: Apache-2.0
#include "plugin/cli/flags.h"

#include <cctype>

namespace dp::cli {

std::string VariableOf(const std::string& flag) {
  std::string name = "VFIO_DOORBELL_" + flag.substr(2);
  for (char& c : name) {
    c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

CLI::Option* AddSwitch(CLI::App& app, const std::string& flag, bool& value,
                       const std::string& help) {
  return app.add_flag(flag, value, help)->envname(VariableOf(flag));
}

void AddLogLevel(CLI::App& app, std::string& level) {
  AddValue(app, "--log-level", level, "The lowest level to log: debug, info, warning or error.")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}).description(""));
}

void AddLogFormat(CLI::App& app, std::string& format) {
  AddValue(app, "--log-format", format, "How a log record is written: text or json.")
      ->check(CLI::IsMember({"text", "json"}).description(""));
}

}  // namespace dp::cli
