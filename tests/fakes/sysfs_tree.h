// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dp::fakes {

// A temporary directory laid out like /sys, removed with the object. All paths are relative to it;
// parent directories are made as needed, and an entry that is there already is replaced. A tree
// that cannot be built ends the test program with the reason.
class SysfsTree {
 public:
  SysfsTree();
  SysfsTree(const SysfsTree&) = delete;
  SysfsTree& operator=(const SysfsTree&) = delete;
  ~SysfsTree();

  // Unpacks a text archive (tests/testdata/README.md).
  void AddArchive(const std::string& archive_path);

  void AddFile(std::string_view path, std::string_view content);
  void AddLink(std::string_view path, std::string_view target);
  void AddDirectory(std::string_view path);
  void AddFifo(std::string_view path);
  void Remove(std::string_view path);

  // A PCI function as the kernel shows it: its directory under devices/, the links to it from
  // bus/pci/devices and from its group.
  struct PciFunction {
    std::string address;  // "0000:00:01.0"
    std::uint32_t group = 0;
    std::string driver = "vfio-pci";  // empty: none bound
    std::uint16_t vendor = 0x1b36;
    std::uint16_t device = 0x0010;
    std::uint16_t subsystem_vendor = 0x1af4;
    std::uint16_t subsystem_device = 0x1100;
    std::uint32_t class_code = 0x010802;
    int numa_node = -1;
    std::string cdev = {};  // "vfio0"; empty: none
  };
  // Makes the group too, if it is new: with the fixed MSI window among its reserved regions and no
  // msi_window attribute.
  void AddPciFunction(const PciFunction& function);
  // A device of the platform bus, as a member of a group.
  void AddPlatformDevice(std::string_view name, std::uint32_t group, std::string_view driver);
  // What a kernel with the knob shows: "0x08000000 0x00100000", "none". Does not touch
  // reserved_regions.
  void SetMsiWindow(std::uint32_t group, std::string_view text);
  // `count` groups of one vfio-pci function each, numbered from 0, with the knob, a cdev and a NUMA
  // node of two: a large host.
  void AddManyGroups(std::uint32_t count);

  [[nodiscard]] const std::string& path() const { return path_; }
  // The directory of a PCI function under devices/, relative.
  [[nodiscard]] static std::string PciDirectory(std::string_view address);
  [[nodiscard]] static std::string GroupDirectory(std::uint32_t group);

 private:
  [[nodiscard]] std::string Absolute(std::string_view path) const;
  void AddGroupMember(std::uint32_t group, std::string_view name, std::string_view directory);
  void AddDriver(std::string_view directory, std::string_view bus, std::string_view driver);

  std::string path_;
};

}  // namespace dp::fakes
