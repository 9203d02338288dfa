// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/options.h"

#include <CLI/CLI.hpp>

#include "plugin/cli/flags.h"

namespace dp::app {
namespace {

constexpr char kFooter[] =
    "Exit codes: 0 for success, 1 for a failure of the host, the kubelet's folder or the kernel,\n"
    "2 for a wrong command line or configuration. With --release, 1 also says that a window is "
    "still "
    "held.";

}  // namespace

ParsedOptions ParseOptions(int argc, const char* const* argv) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  bool check_config = false;
  bool release = false;
  auto rescan_interval = options.rescan_interval.count();
  auto release_grace = options.release_grace.count();
  CLI::App app(
      "Offers VFIO devices to the kubelet and reserves the window in which their MSI doorbells are "
      "mapped.",
      "vfio-doorbell-plugin");
  app.footer(kFooter);
  app.set_version_flag("--version", "vfio-doorbell-plugin " VFIO_DOORBELL_VERSION,
                       "Print the version and exit.");
  app.set_help_flag("--help", "Print this help and exit.");
  cli::AddValue(app, "--config", options.config, "The configuration file to read.");
  cli::AddValue(app, "--kubelet-dir", options.kubelet_dir,
                "The folder of the kubelet's device plugin sockets.");
  cli::AddValue(
      app, "--registration", options.registration,
      "How the kubelet gets to know the resources: kubelet-socket tells it, plugins-registry "
      "lets its plugin watcher find them.")
      ->check(CLI::IsMember({"kubelet-socket", "plugins-registry"}).description(""));
  cli::AddValue(app, "--plugins-registry-dir", options.plugins_registry_dir,
                "The folder that the kubelet's plugin watcher watches.");
  cli::AddValue(app, "--sysfs-root", options.sysfs_root, "Where sysfs is mounted.");
  cli::AddValue(
      app, "--dev-root", options.dev_root,
      "Where the device nodes of the host are seen. They are looked for, and never opened.");
  cli::AddValue(
      app, "--state-dir", options.state_dir,
      "The folder for the settings that containers get mounted. It must have this path on the "
      "host.");
  cli::AddValue(
      app, "--cdi-dir", options.cdi_dir,
      "The folder where container runtimes look for CDI specifications, for resources with cdi.");
  cli::AddValue(app, "--data-dir", options.data_dir,
                "The folder of the ledger: what is reserved for whom. It must outlive a reboot.");
  cli::AddValue(app, "--pod-resources-socket", options.pod_resources_socket,
                "The kubelet's PodResources API, which says which pod holds what.");
  cli::AddValue(
      app, "--admin-socket", options.admin_socket,
      "Where doorbellctl and vfio-doorbell-monitor ask. Empty: admin.sock in --state-dir.");
  cli::AddValue(app, "--admin-gid", options.admin_gid,
                "The number of a group that may ask there, and release windows; -1: root alone.")
      ->check(CLI::Range(std::int64_t{-1}, std::int64_t{4294967294}).description(""));
  cli::AddValue(app, "--node-hook-socket", options.node_hook_socket,
                "Where KubeVirt's virt-handler finds the node hook, as "
                "/var/run/kubevirt/plugins/vfio-doorbell.sock. Empty: there is none.");
  cli::AddValue(
      app, "--rescan-interval", rescan_interval,
      "How often the host is looked at although it reports no change, in seconds: 1 to 86400.")
      ->check(CLI::Range(1, 86400).description(""));
  cli::AddValue(
      app, "--release-grace", release_grace,
      "How long the kubelet must not have listed a pod before its window is given back, in "
      "seconds: 1 to 3600.")
      ->check(CLI::Range(1, 3600).description(""));
  cli::AddLogLevel(app, options.log_level);
  cli::AddLogFormat(app, options.log_format);
  CLI::Option* check =
      cli::AddSwitch(app, "--check-config", check_config,
                     "Read the configuration, look at what it selects on this host, and "
                     "exit without changing anything.");
  cli::AddSwitch(
      app, "--release", release,
      "Put every window of the pool that no VMM holds back to its default, print what was "
      "released and what is still held, and exit.")
      ->excludes(check);
  cli::AddValue(
      app, "--probe", options.probe,
      "Ask the daemon at --admin-socket whether it is live or ready, and exit: 0 if it is.")
      ->check(CLI::IsMember({"live", "ready"}).description(""))
      ->excludes(check);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version come this way too, with code 0.
    parsed.exit_code = app.exit(error) == 0 ? kExitOk : kExitUsage;
    return parsed;
  }
  options.rescan_interval = std::chrono::seconds(rescan_interval);
  options.release_grace = std::chrono::seconds(release_grace);
  if (check_config) options.action = Options::Action::kCheckConfig;
  if (release) options.action = Options::Action::kRelease;
  if (!options.probe.empty()) options.action = Options::Action::kProbe;
  if (options.admin_socket.empty()) options.admin_socket = options.state_dir + "/admin.sock";
  return parsed;
}

}  // namespace dp::app
