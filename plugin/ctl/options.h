// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "plugin/ctl/output.h"

namespace dp::ctl {

enum class Command {
  kList,
  kDescribe,
  kWhois,
  kExplain,
  kCheckConfig,
  kDiag,
  kRelease,
  kCapture,
  kCompletion
};

// Where this host has what is looked at.
struct Places {
  std::string socket = "/run/vfio-doorbell/admin.sock";
  std::string sysfs_root = "/sys";
  std::string data_dir = "/var/lib/vfio-doorbell";
  std::string config = "/etc/vfio-doorbell/config.yaml";
  std::string kubelet_dir = "/var/lib/kubelet/device-plugins";
  std::string pod_resources_socket = "/var/lib/kubelet/pod-resources/kubelet.sock";
  std::string dev_root = "/dev";
  // The folder with what was captured of another host, beside its sysfs; empty: it is this host.
  std::string captured = {};
};

// What the command line asks for.
struct Options {
  Command command = Command::kList;
  Places places;
  Format format = Format::kTable;
  std::string root;          // an archive of another host, which is looked at instead
  std::string subject;       // of describe, whois, check-config, release and completion
  std::string output_file;   // of capture; empty: standard output
  bool yes = false;          // nobody is asked
  std::string file;          // with a guest, or "-"
  std::string window;        // START:END; empty: those of the pool
  bool from_daemon = false;  // the pool is that of the daemon
  bool has_config = false;   // places.config was asked for
};

// `exit_code` is -1 if the program is to go on; otherwise what there is to say (help, version, what
// is wrong) has been printed.
struct ParsedOptions {
  Options options;
  int exit_code = -1;
  std::string completion;  // what `completion` is to print
};
ParsedOptions ParseOptions(int argc, const char* const* argv);

// What a person types to start a program that was started by this path: "doorbellctl", or "kubectl
// doorbell" for kubectl-doorbell, which is how kubectl finds its plugins.
std::string ProgramName(const std::string& path);

}  // namespace dp::ctl
