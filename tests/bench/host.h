// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/kubelet/v1beta1/api.pb.h"
#include "tests/fakes/msi_window_kernel.h"
#include "tests/fakes/sysfs_tree.h"

namespace dp::bench {

inline constexpr char kResource[] = "vfio.example/disk";

// All that the daemon sees of the world: a host with N groups, its device nodes, and folders.
class Host {
 public:
  explicit Host(std::uint32_t groups);

  [[nodiscard]] std::vector<std::string> Command(const std::string& daemon,
                                                 const std::string& ledger_folder) const;
  [[nodiscard]] std::string ledger_folder() const { return Path("data"); }
  [[nodiscard]] std::string pods_socket() const { return Path("pods.sock"); }
  [[nodiscard]] std::string hook_socket() const { return Path("hook.sock"); }
  [[nodiscard]] std::string admin_socket() const { return Path("state/admin.sock"); }
  [[nodiscard]] std::string log_path() const { return Path("log"); }
  [[nodiscard]] std::string feature_file() const { return Path("features"); }
  [[nodiscard]] std::string monitor_log_path() const { return Path("monitor.log"); }
  [[nodiscard]] std::string kubelet_folder() const { return Path("kubelet"); }
  [[nodiscard]] std::uint32_t groups() const { return groups_; }

  // Gives the first device to the VFIO driver, or to another one, as `driverctl` would. A VFIO
  // driver makes a vfio-dev directory and a node, and takes them along when it goes.
  void BindFirst(const v1beta1::Device& device, bool to_vfio);

  // What this many groups' msi_window shows is up to a kernel from now on; with its end, each group
  // has the default window.
  void Obey(fakes::MsiWindowKernel& kernel, std::uint32_t count) const;
  void ResetWindows(std::uint32_t count);

  // Sockets in the kubelet's folder that are not the kubelet's.
  [[nodiscard]] int CountSockets() const;

 private:
  [[nodiscard]] std::string Path(std::string_view name) const;

  const std::uint32_t groups_;
  fakes::SysfsTree sysfs_;
  fakes::SysfsTree rest_;  // nothing of sysfs, but also files in memory that go with the object
};

}  // namespace dp::bench
