// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor_app/options.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

#include "plugin/base/excerpt.h"
#include "plugin/cli/flags.h"
#include "plugin/status/words.h"

namespace dp::monitor_app {
namespace {

constexpr char kFooter[] =
    "Exit codes: 0 for success, 1 if it cannot listen at the address, 2 for a wrong command line. "
    "Without a daemon the\nprogram waits for one; it ends on a signal only.";

int Complain(std::string_view text) {
  fmt::print(stderr, "vfio-doorbell-monitor: {}\n", text);
  return kExitUsage;
}

std::string Environment(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// -1, or an exit code.
int CheckStatus(Options& options) {
  const std::string& node = options.status.node;
  if (node.empty()) {
    return options.status.feature_file.empty() ? -1 : Complain("--feature-file: needs --node-name");
  }
  if (!status::IsName(node)) {
    return Complain(fmt::format("--node-name: {} is no name of a node", base::Excerpt(node)));
  }
  if (!TellsApiServer(options.status)) return -1;
  const std::string trouble = cli::FindApiServer(options.api_server, &Environment);
  return trouble.empty() ? -1 : Complain(trouble);
}

}  // namespace

ParsedOptions ParseOptions(int argc, const char* const* argv) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  std::string http_address = "127.0.0.1:9465";
  bool any_address = false;
  CLI::App app(
      "Shows over HTTP what vfio-doorbell-plugin says of itself: its metrics to Prometheus, and "
      "whether it works.",
      "vfio-doorbell-monitor");
  app.footer(kFooter);
  app.set_version_flag("--version", "vfio-doorbell-monitor " VFIO_DOORBELL_VERSION,
                       "Print the version and exit.");
  app.set_help_flag("--help", "Print this help and exit.");
  cli::AddValue(app, "--admin-socket", options.admin_socket, "The daemon's admin socket.");
  cli::AddValue(app, "--http-address", http_address,
                "The address and port of /metrics, /livez, /readyz and /startupz: 127.0.0.1:9465, "
                "[fd00::1]:9465. In a pod, the pod's own address.");
  cli::AddSwitch(app, "--http-any-address", any_address,
                 "Let --http-address be 0.0.0.0 or [::], which is every address of the machine.");
  cli::AddValue(app, "--node-name", options.status.node,
                "The name of this node in Kubernetes, which is told how the node stands. Empty: it "
                "is not.");
  cli::AddApiServer(app, options.api_server);
  bool no_condition = false;
  bool no_events = false;
  bool no_object = false;
  cli::AddSwitch(app, "--no-condition", no_condition, "Write no condition of the Node.");
  cli::AddSwitch(app, "--no-events", no_events, "Write no Events.");
  cli::AddSwitch(app, "--no-object", no_object, "Write no DoorbellNode.");
  cli::AddSwitch(app, "--pod-uids", options.status.pod_uids,
                 "Ask for the uids of pods, so that kubectl describe shows their Events.");
  cli::AddValue(app, "--feature-file", options.status.feature_file,
                "A file for Node Feature Discovery, such as "
                "/etc/kubernetes/node-feature-discovery/features.d/vfio-doorbell. Empty: none.");
  cli::AddLogLevel(app, options.log_level);
  cli::AddLogFormat(app, options.log_format);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version come this way too, with code 0.
    parsed.exit_code = app.exit(error) == 0 ? kExitOk : kExitUsage;
    return parsed;
  }
  const auto address = monitor::ParseHttpAddress(http_address);
  if (!address.ok()) {
    parsed.exit_code =
        Complain(fmt::format("--http-address: {}", std::string(address.status().message())));
  } else if (address->is_any && !any_address) {
    parsed.exit_code = Complain(
        fmt::format("--http-address: {} is every address of this machine; name one of them, or add "
                    "--http-any-address",
                    http_address));
  } else {
    options.http_address = *address;
  }
  options.status.condition = !no_condition;
  options.status.events = !no_events;
  options.status.object = !no_object;
  if (parsed.exit_code == -1) parsed.exit_code = CheckStatus(options);
  return parsed;
}

}  // namespace dp::monitor_app
