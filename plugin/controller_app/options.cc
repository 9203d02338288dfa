// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller_app/options.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstddef>
#include <string_view>

#include "plugin/cli/api_server.h"
#include "plugin/cli/flags.h"
#include "plugin/os/file.h"

namespace dp::controller_app {
namespace {

constexpr char kFooter[] =
    "Exit codes: 0 for success, 2 for a wrong command line or configuration. With --once and "
    "--dry-run, 1 says\nthat KubeVirt is not in step and why. Without them the program ends on a "
    "signal only.";

// Where the kubelet mounts the name of the pod's namespace.
constexpr char kAccount[] = "/var/run/secrets/kubernetes.io/serviceaccount/";

std::string Environment(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::string HostName() {
  constexpr std::size_t kLongest = 256;
  std::array<char, kLongest> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : "unknown";
}

int Complain(std::string_view text) {
  fmt::print(stderr, "vfio-doorbell-controller: {}\n", text);
  return kExitUsage;
}

// -1, or an exit code.
int FillFromPod(Options& options) {
  if (const std::string trouble = cli::FindApiServer(options.api_server, &Environment);
      !trouble.empty()) {
    return Complain(trouble);
  }
  if (options.lease_namespace.empty()) {
    constexpr std::size_t kLongestName = 256;
    auto space = os::ReadFile(std::string(kAccount) + "namespace", kLongestName);
    options.lease_namespace = space.ok() ? *space : "kube-system";
  }
  if (options.identity.empty()) options.identity = HostName();
  return -1;
}

}  // namespace

ParsedOptions ParseOptions(int argc, const char* const* argv) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  auto interval = options.interval.count();
  auto lease_duration = options.lease_duration.count();
  CLI::App app(
      "Keeps the permitted host devices of KubeVirt in step with the resources that "
      "vfio-doorbell-plugin offers.",
      "vfio-doorbell-controller");
  app.footer(kFooter);
  app.set_version_flag("--version", "vfio-doorbell-controller " VFIO_DOORBELL_VERSION,
                       "Print the version and exit.");
  app.set_help_flag("--help", "Print this help and exit.");
  cli::AddValue(app, "--config", options.config,
                "The configuration file, the one that the nodes have.");
  CLI::Option* space =
      cli::AddValue(app, "--kubevirt-namespace", options.kubevirt_namespace,
                    "The namespace of the KubeVirt CR. Without it, the only one of the "
                    "cluster is taken.");
  CLI::Option* name =
      cli::AddValue(app, "--kubevirt-name", options.kubevirt_name, "The name of the KubeVirt CR.");
  space->needs(name);
  name->needs(space);
  cli::AddApiServer(app, options.api_server);
  cli::AddValue(app, "--lease-namespace", options.lease_namespace,
                "The namespace of the lease. In a pod, that of the pod; else kube-system.");
  cli::AddValue(app, "--lease-name", options.lease_name, "The name of the lease.");
  cli::AddValue(app, "--identity", options.identity,
                "What this instance is called in the lease. The host name unless said otherwise.");
  cli::AddValue(app, "--interval", interval,
                "How often KubeVirt is looked at, in seconds: 1 to 3600.")
      ->check(CLI::Range(1, 3600).description(""));
  cli::AddValue(
      app, "--lease-duration", lease_duration,
      "How long an instance that has written keeps others from writing, in seconds: 3 to 3600.")
      ->check(CLI::Range(3, 3600).description(""));
  cli::AddValue(app, "--metrics-address", options.metrics_address,
                "Where Prometheus finds /metrics, 0.0.0.0:9464 for instance. Nowhere unless said.");
  cli::AddSwitch(app, "--disable", options.disable,
                 "Take back all that this program has added to KubeVirt, and add nothing.");
  cli::AddSwitch(app, "--dry-run", options.dry_run,
                 "Print the patch that is due, as JSON, change nothing, and exit.");
  cli::AddSwitch(app, "--once", options.once, "Bring KubeVirt in step once, and exit.");
  cli::AddLogLevel(app, options.log_level);
  cli::AddLogFormat(app, options.log_format);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version come this way too, with code 0.
    parsed.exit_code = app.exit(error) == 0 ? kExitOk : kExitUsage;
    return parsed;
  }
  options.interval = std::chrono::seconds(interval);
  options.lease_duration = std::chrono::seconds(lease_duration);
  parsed.exit_code = FillFromPod(options);
  return parsed;
}

}  // namespace dp::controller_app
