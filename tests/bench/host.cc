// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/host.h"

#include <fmt/format.h>

#include <filesystem>

namespace dp::bench {

Host::Host(std::uint32_t groups) : groups_(groups) {
  sysfs_.AddManyGroups(groups);
  rest_.AddDirectory("kubelet");
  rest_.AddFile("dev/vfio/vfio", "");
  for (std::uint32_t group = 0; group < groups; ++group) {
    rest_.AddFile(fmt::format("dev/vfio/{}", group), "");
    rest_.AddFile(fmt::format("dev/vfio/devices/vfio{}", group), "");
  }
  const fakes::SysfsTree::PciFunction any;
  rest_.AddFile("config.yaml", fmt::format("version: v1\n"
                                           "resources:\n"
                                           "  - name: {}\n"
                                           "    selectors:\n"
                                           "      - {{vendor: \"{:04x}\", device: \"{:04x}\"}}\n",
                                           kResource, any.vendor, any.device));
}

std::vector<std::string> Host::Command(const std::string& daemon,
                                       const std::string& ledger_folder) const {
  return {daemon,
          "--config=" + Path("config.yaml"),
          "--kubelet-dir=" + kubelet_folder(),
          "--sysfs-root=" + sysfs_.path(),
          "--dev-root=" + Path("dev"),
          "--state-dir=" + Path("state"),
          "--data-dir=" + ledger_folder,
          "--pod-resources-socket=" + pods_socket()};
}

void Host::BindFirst(const v1beta1::Device& device, bool to_vfio) {
  const auto& nodes = device.topology().nodes();
  if (to_vfio) {
    rest_.AddFile("dev/vfio/0", "");
  } else {
    rest_.Remove("dev/vfio/0");
    sysfs_.Remove(fakes::SysfsTree::PciDirectory(device.id()) + "/vfio-dev");
  }
  sysfs_.AddPciFunction({.address = device.id(),
                         .group = 0,
                         .driver = to_vfio ? "vfio-pci" : "nvme",
                         .numa_node = nodes.empty() ? -1 : static_cast<int>(nodes[0].id()),
                         .cdev = to_vfio ? "vfio0" : ""});
}

void Host::Obey(fakes::MsiWindowKernel& kernel, std::uint32_t count) const {
  for (std::uint32_t group = 0; group < count; ++group) {
    kernel.Add(group, fmt::format("{}/kernel/iommu_groups/{}/msi_window", sysfs_.path(), group));
  }
}

void Host::ResetWindows(std::uint32_t count) {
  for (std::uint32_t group = 0; group < count; ++group)
    sysfs_.SetMsiWindow(group, "0x08000000 0x00100000");
}

int Host::CountSockets() const {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kubelet_folder()))
    if (entry.is_socket() && entry.path().filename() != "kubelet.sock") ++count;
  return count;
}

std::string Host::Path(std::string_view name) const {
  return fmt::format("{}/{}", rest_.path(), name);
}

}  // namespace dp::bench
