// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fakes/fake_kubelet.h"
#include "tests/fakes/sysfs_tree.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/integration/daemon.h"

namespace dp::integration {

inline constexpr char kResource[] = "vendor.example/nvme";

// All that is around the daemon: folders of its own, a sysfs without any group, a kubelet that does
// not run yet, and a configuration that selects every function on vfio-pci.
class World : public ::testing::Test {
 protected:
  // Its folders are made in `parent`.
  explicit World(const std::string& parent = "/tmp",
                 fakes::FakeKubelet::Release release = fakes::FakeKubelet::Release::kV134);

  // `lines` go behind "version: v1".
  void WriteConfig(std::string_view lines);
  // A device node of the host, by its name below /dev/vfio.
  void AddNode(const std::string& name) const;
  // A function on vfio-pci alone in its group, with the knob and its node.
  void AddDevice(const std::string& address, std::uint32_t group);
  [[nodiscard]] std::string WindowFile(std::uint32_t group) const;
  // Content of msi_window, without its newline.
  [[nodiscard]] std::string WindowOf(std::uint32_t group) const;

  // Starts the daemon with its locations, and `more`.
  void Start(std::vector<std::string> more = {});
  // Starts kubelet and daemon and waits for the list.
  void StartAndList(std::size_t devices);
  // Sends SIGTERM and expects a clean end.
  void Stop();
  [[nodiscard]] std::vector<std::string> Locations() const;

  [[nodiscard]] std::string path(const std::string& name) const {
    return root_.path() + "/" + name;
  }
  static std::string ReadAll(const std::string& path);

  fakes::TemporaryFolder root_;
  fakes::SysfsTree sysfs_;
  fakes::FakeKubelet kubelet_;
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace dp::integration
