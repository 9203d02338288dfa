// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "plugin/cli/api_server.h"
#include "plugin/monitor/http_address.h"
#include "plugin/status/pass.h"

namespace dp::monitor_app {

// Exit codes of the program; also in --help.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;  // cannot listen
inline constexpr int kExitUsage = 2;    // command line

// Whether anything is told to the API server.
inline bool TellsApiServer(const status::Options& options) {
  return options.condition || options.events || options.object;
}

struct Options {
  std::string admin_socket = "/run/vfio-doorbell/admin.sock";
  monitor::HttpAddress http_address;
  // What Kubernetes is told, if there is a name of the node.
  status::Options status{.node = {}, .feature_file = {}};
  cli::ApiServer api_server;  // complete, if anything is told to it
  std::string log_level = "info";
  std::string log_format = "text";
};

// What the command line and the environment ask for. `exit_code` is -1 if the program is to go on;
// otherwise what there is to say has been printed.
struct ParsedOptions {
  Options options;
  int exit_code = -1;
};
ParsedOptions ParseOptions(int argc, const char* const* argv);

}  // namespace dp::monitor_app
