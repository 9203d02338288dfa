// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace dp::app {

// Exit codes of the program; also in --help.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;  // the host, the kubelet's folder or the kernel
inline constexpr int kExitUsage = 2;    // command line or configuration

struct Options {
  enum class Action { kServe, kCheckConfig, kRelease, kProbe };

  Action action = Action::kServe;
  std::string probe;  // "live" or "ready", of kProbe
  std::string config = "/etc/vfio-doorbell/config.yaml";
  std::string kubelet_dir = "/var/lib/kubelet/device-plugins";
  std::string registration = "kubelet-socket";
  std::string plugins_registry_dir = "/var/lib/kubelet/plugins_registry";
  std::string sysfs_root = "/sys";
  std::string dev_root = "/dev";
  std::string state_dir = "/run/vfio-doorbell";
  std::string cdi_dir = "/run/cdi";
  std::string data_dir = "/var/lib/vfio-doorbell";
  std::string pod_resources_socket = "/var/lib/kubelet/pod-resources/kubelet.sock";
  std::string admin_socket;      // empty: admin.sock in the state_dir
  std::int64_t admin_gid = -1;   // of the group that may use it, besides root; -1: none
  std::string node_hook_socket;  // empty: KubeVirt's node hooks are not served
  std::chrono::seconds rescan_interval{60};
  std::chrono::seconds release_grace{20};
  std::string log_level = "info";
  std::string log_format = "text";
};

// What the command line and the environment ask for. `exit_code` is -1 if the program is to go on;
// otherwise what there is to say (help, version, what is wrong) has been printed.
struct ParsedOptions {
  Options options;
  int exit_code = -1;
};
ParsedOptions ParseOptions(int argc, const char* const* argv);

}  // namespace dp::app
