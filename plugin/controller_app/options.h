// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include "plugin/cli/api_server.h"

namespace dp::controller_app {

// Exit codes of the program; also in --help.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;  // --once and --dry-run: not in step
inline constexpr int kExitUsage = 2;    // command line or configuration

struct Options {
  std::string config = "/etc/vfio-doorbell/config.yaml";
  std::string kubevirt_namespace;  // both empty: the only KubeVirt CR of the cluster
  std::string kubevirt_name;
  cli::ApiServer api_server;
  std::string lease_namespace;
  std::string lease_name = "vfio-doorbell-controller";
  std::string identity;
  std::chrono::seconds interval{30};
  std::chrono::seconds lease_duration{15};
  std::string metrics_address;  // "0.0.0.0:9464"; empty: none are shown
  bool disable = false;
  bool dry_run = false;
  bool once = false;
  std::string log_level = "info";
  std::string log_format = "text";
};

// What the command line and the environment ask for, and what the kubelet has put into the
// container of a pod (API server, token, authorities, namespace). `exit_code` is -1 if the program
// is to go on; otherwise what there is to say has been printed.
struct ParsedOptions {
  Options options;
  int exit_code = -1;
};
ParsedOptions ParseOptions(int argc, const char* const* argv);

}  // namespace dp::controller_app
