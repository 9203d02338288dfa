// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/options.h"

#include <CLI/CLI.hpp>
#include <cctype>

namespace dp::app {
namespace {

constexpr char kFooter[] =
    "Exit codes: 0 for success, 1 for a failure of the host, the kubelet's folder or the kernel,\n"
    "2 for a wrong command line or configuration. With --release, 1 also says that a window is "
    "still "
    "held.";

// --kubelet-dir -> VFIO_DOORBELL_KUBELET_DIR
std::string EnvironmentName(const std::string& flag) {
  std::string name = "VFIO_DOORBELL_" + flag.substr(2);
  for (char& c : name) {
    c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

template <typename T>
CLI::Option* AddValue(CLI::App& cli, const std::string& flag, T& value, const std::string& help) {
  return cli.add_option(flag, value, help)
      ->envname(EnvironmentName(flag))
      ->capture_default_str()
      ->take_last()  // so that a wrapper's flags can be overridden
      ->type_name("");
}

CLI::Option* AddText(CLI::App& cli, const std::string& flag, std::string& value,
                     const std::string& help) {
  return AddValue(cli, flag, value, help);
}

CLI::Option* AddSwitch(CLI::App& cli, const std::string& flag, bool& value,
                       const std::string& help) {
  return cli.add_flag(flag, value, help)->envname(EnvironmentName(flag));
}

}  // namespace

ParsedOptions ParseOptions(int argc, const char* const* argv) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  bool check_config = false;
  bool release = false;
  auto rescan_interval = options.rescan_interval.count();
  auto release_grace = options.release_grace.count();
  CLI::App cli(
      "Offers VFIO devices to the kubelet and reserves the window in which their MSI doorbells are "
      "mapped.",
      "vfio-doorbell-plugin");
  cli.footer(kFooter);
  cli.set_version_flag("--version", "vfio-doorbell-plugin " VFIO_DOORBELL_VERSION,
                       "Print the version and exit.");
  cli.set_help_flag("--help", "Print this help and exit.");
  AddText(cli, "--config", options.config, "The configuration file to read.");
  AddText(cli, "--kubelet-dir", options.kubelet_dir,
          "The folder of the kubelet's device plugin sockets.");
  AddText(cli, "--registration", options.registration,
          "How the kubelet gets to know the resources: kubelet-socket tells it, plugins-registry "
          "lets its plugin watcher find them.")
      ->check(CLI::IsMember({"kubelet-socket", "plugins-registry"}).description(""));
  AddText(cli, "--plugins-registry-dir", options.plugins_registry_dir,
          "The folder that the kubelet's plugin watcher watches.");
  AddText(cli, "--sysfs-root", options.sysfs_root, "Where sysfs is mounted.");
  AddText(cli, "--dev-root", options.dev_root,
          "Where the device nodes of the host are seen. They are looked for, and never opened.");
  AddText(cli, "--state-dir", options.state_dir,
          "The folder for the settings that containers get mounted. It must have this path on the "
          "host.");
  AddText(
      cli, "--cdi-dir", options.cdi_dir,
      "The folder where container runtimes look for CDI specifications, for resources with cdi.");
  AddText(cli, "--data-dir", options.data_dir,
          "The folder of the ledger: what is reserved for whom. It must outlive a reboot.");
  AddText(cli, "--pod-resources-socket", options.pod_resources_socket,
          "The kubelet's PodResources API, which says which pod holds what.");
  AddText(cli, "--node-hook-socket", options.node_hook_socket,
          "Where KubeVirt's virt-handler finds the node hook, as "
          "/var/run/kubevirt/plugins/vfio-doorbell.sock. Empty: there is none.");
  AddValue(cli, "--rescan-interval", rescan_interval,
           "How often the host is looked at although it reports no change, in seconds: 1 to 86400.")
      ->check(CLI::Range(1, 86400).description(""));
  AddValue(cli, "--release-grace", release_grace,
           "How long the kubelet must not have listed a pod before its window is given back, in "
           "seconds: 1 to 3600.")
      ->check(CLI::Range(1, 3600).description(""));
  AddText(cli, "--log-level", options.log_level,
          "The lowest level to log: debug, info, warning or error.")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}).description(""));
  AddText(cli, "--log-format", options.log_format, "How a log record is written: text or json.")
      ->check(CLI::IsMember({"text", "json"}).description(""));
  CLI::Option* check =
      AddSwitch(cli, "--check-config", check_config,
                "Read the configuration, look at what it selects on this host, and "
                "exit without changing anything.");
  AddSwitch(cli, "--release", release,
            "Put every window of the pool that no VMM holds back to its default, print what was "
            "released and what is still held, and exit.")
      ->excludes(check);
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version come this way too, with code 0.
    parsed.exit_code = cli.exit(error) == 0 ? kExitOk : kExitUsage;
    return parsed;
  }
  options.rescan_interval = std::chrono::seconds(rescan_interval);
  options.release_grace = std::chrono::seconds(release_grace);
  if (check_config) options.action = Options::Action::kCheckConfig;
  if (release) options.action = Options::Action::kRelease;
  return parsed;
}

}  // namespace dp::app
