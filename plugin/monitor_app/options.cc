// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor_app/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string_view>

#include "plugin/cli/flags.h"

namespace dp::monitor_app {
namespace {

constexpr char kFooter[] =
    "Exit codes: 0 for success, 1 if it cannot listen at the address, 2 for a wrong command line. "
    "Without a daemon the\nprogram waits for one; it ends on a signal only.";

int Complain(std::string_view text) {
  fmt::print(stderr, "vfio-doorbell-monitor: {}\n", text);
  return kExitUsage;
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
  return parsed;
}

}  // namespace dp::monitor_app
