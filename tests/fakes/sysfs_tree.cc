// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/sysfs_tree.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "plugin/base/parse.h"

namespace dp::fakes {
namespace {

[[noreturn]] void Fail(const std::string& reason) {
  fmt::print(stderr, "fake sysfs tree: {}\n", reason);
  std::abort();
}

void Check(bool ok, std::string_view action, std::string_view path) {
  if (!ok) Fail(fmt::format("cannot {} {}: {}", action, path, std::strerror(errno)));
}

// Tries the last directory first: in a tree of thousands of entries nearly all have their parents
// already.
void MakeDirectories(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return;
  Check(errno == ENOENT && path.rfind('/') > 0, "make", path);
  MakeDirectories(path.substr(0, path.rfind('/')));
  Check(::mkdir(path.c_str(), 0755) == 0, "make", path);
}

void MakeParents(const std::string& path) { MakeDirectories(path.substr(0, path.rfind('/'))); }

// Anything but a directory that is not empty gives way.
void MakeRoom(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return;
  Check(::rmdir(path.c_str()) == 0, "replace", path);
}

// From a directory to something else, both relative to the root of the tree: as many "../" as
// `from` is deep, then `to`.
std::string RelativeLink(std::string_view from, std::string_view to) {
  std::string link;
  for (auto depth = 1 + std::count(from.begin(), from.end(), '/'); depth > 0; --depth)
    link += "../";
  return link.append(to);
}

// Reads entries of the text archive one by one (tests/testdata/README.md).
class ArchiveReader {
 public:
  ArchiveReader(SysfsTree& tree, const std::string& path) : tree_(tree), path_(path), in_(path) {
    Check(in_.is_open(), "open", path);
  }

  void ReadAll() {
    std::string line;
    while (NextLine(line)) {
      if (line.empty() || line.front() == '#') continue;
      if (const auto directory = Value(line, "Directory: ")) {
        tree_.AddDirectory(*directory);
      } else if (const auto path = Value(line, "Path: ")) {
        ReadEntry(std::string(*path));
      } else {
        FailHere("expected \"Directory:\" or \"Path:\"");
      }
    }
  }

 private:
  void ReadEntry(const std::string& path) {
    std::string line;
    if (!NextLine(line)) FailHere("ends after \"Path:\"");
    if (const auto target = Value(line, "SymlinkTo: ")) {
      tree_.AddLink(path, *target);
    } else if (const auto count = Value(line, "Lines: ")) {
      tree_.AddFile(path, ReadLines(*count));
    } else {
      FailHere("expected \"SymlinkTo:\" or \"Lines:\"");
    }
  }

  std::string ReadLines(std::string_view count) {
    const auto lines = base::ParseDecimal<std::uint32_t>(count);
    if (!lines) FailHere("expected a number of lines");
    std::string content;
    std::string line;
    for (std::uint32_t i = 0; i < *lines; ++i) {
      if (!NextLine(line)) FailHere("ends inside a file");
      content += line + "\n";
    }
    return content;
  }

  static std::optional<std::string_view> Value(std::string_view line, std::string_view key) {
    if (!line.starts_with(key)) return std::nullopt;
    return line.substr(key.size());
  }

  bool NextLine(std::string& line) {
    ++line_number_;
    return static_cast<bool>(std::getline(in_, line));
  }

  [[noreturn]] void FailHere(std::string_view reason) {
    Fail(fmt::format("{}:{}: {}", path_, line_number_, reason));
  }

  SysfsTree& tree_;
  std::string path_;
  std::ifstream in_;
  int line_number_ = 0;
};

}  // namespace

SysfsTree::SysfsTree() {
  // A tree is thousands of tiny files: in memory, where the host allows it.
  std::error_code error;
  path_ = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                          : std::filesystem::temp_directory_path(error).string();
  path_ += "/sysfs-XXXXXX";
  Check(::mkdtemp(path_.data()) != nullptr, "make", path_);
}

SysfsTree::~SysfsTree() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string SysfsTree::Absolute(std::string_view path) const {
  return fmt::format("{}/{}", path_, path);
}

void SysfsTree::AddArchive(const std::string& archive_path) {
  ArchiveReader(*this, archive_path).ReadAll();
}

void SysfsTree::AddFile(std::string_view path, std::string_view content) {
  const std::string absolute = Absolute(path);
  MakeParents(absolute);
  MakeRoom(absolute);
  std::ofstream out(absolute, std::ios::binary | std::ios::trunc);
  out << content;
  out.close();
  Check(!out.fail(), "write", absolute);
}

void SysfsTree::AddLink(std::string_view path, std::string_view target) {
  const std::string absolute = Absolute(path);
  MakeParents(absolute);
  MakeRoom(absolute);
  Check(::symlink(std::string(target).c_str(), absolute.c_str()) == 0, "link", absolute);
}

void SysfsTree::AddDirectory(std::string_view path) { MakeDirectories(Absolute(path)); }

void SysfsTree::AddFifo(std::string_view path) {
  const std::string absolute = Absolute(path);
  MakeParents(absolute);
  MakeRoom(absolute);
  Check(::mkfifo(absolute.c_str(), 0600) == 0, "make the FIFO", absolute);
}

void SysfsTree::Remove(std::string_view path) {
  std::error_code error;
  std::filesystem::remove_all(Absolute(path), error);
  if (error) Fail(fmt::format("cannot remove {}: {}", path, error.message()));
}

std::string SysfsTree::PciDirectory(std::string_view address) {
  const std::string_view bus = address.substr(0, address.rfind(':'));
  return fmt::format("devices/pci{}/{}", bus, address);
}

std::string SysfsTree::GroupDirectory(std::uint32_t group) {
  return fmt::format("kernel/iommu_groups/{}", group);
}

void SysfsTree::AddPciFunction(const PciFunction& function) {
  const std::string directory = PciDirectory(function.address);
  const std::string driver_line =
      function.driver.empty() ? "" : fmt::format("DRIVER={}\n", function.driver);
  AddFile(directory + "/uevent",
          fmt::format("{}PCI_CLASS={:04X}\nPCI_ID={:04X}:{:04X}\nPCI_SUBSYS_ID={:04X}:{:04X}\nPCI_"
                      "SLOT_NAME={}\n",
                      driver_line, function.class_code, function.vendor, function.device,
                      function.subsystem_vendor, function.subsystem_device, function.address));
  AddFile(directory + "/class", fmt::format("{:#08x}\n", function.class_code));
  AddFile(directory + "/vendor", fmt::format("{:#06x}\n", function.vendor));
  AddFile(directory + "/device", fmt::format("{:#06x}\n", function.device));
  AddFile(directory + "/subsystem_vendor", fmt::format("{:#06x}\n", function.subsystem_vendor));
  AddFile(directory + "/subsystem_device", fmt::format("{:#06x}\n", function.subsystem_device));
  AddFile(directory + "/numa_node", fmt::format("{}\n", function.numa_node));
  AddLink(directory + "/subsystem", RelativeLink(directory, "bus/pci"));
  if (!function.driver.empty()) AddDriver(directory, "pci", function.driver);
  if (!function.cdev.empty()) AddDirectory(fmt::format("{}/vfio-dev/{}", directory, function.cdev));
  AddLink("bus/pci/devices/" + function.address, RelativeLink("bus/pci/devices", directory));
  AddGroupMember(function.group, function.address, directory);
}

void SysfsTree::AddPlatformDevice(std::string_view name, std::uint32_t group,
                                  std::string_view driver) {
  const std::string directory = fmt::format("devices/platform/{}", name);
  const std::string driver_line = driver.empty() ? "" : fmt::format("DRIVER={}\n", driver);
  AddFile(directory + "/uevent", fmt::format("{}MODALIAS=platform:{}\n", driver_line, name));
  AddFile(directory + "/numa_node", "-1\n");
  AddLink(directory + "/subsystem", RelativeLink(directory, "bus/platform"));
  if (!driver.empty()) AddDriver(directory, "platform", driver);
  AddLink(fmt::format("bus/platform/devices/{}", name),
          RelativeLink("bus/platform/devices", directory));
  AddGroupMember(group, name, directory);
}

void SysfsTree::SetMsiWindow(std::uint32_t group, std::string_view text) {
  AddFile(GroupDirectory(group) + "/msi_window", fmt::format("{}\n", text));
}

void SysfsTree::AddManyGroups(std::uint32_t count) {
  constexpr std::uint32_t kSlotsPerBus = 32;
  constexpr std::uint32_t kBusesPerDomain = 256;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t bus = i / kSlotsPerBus;
    AddPciFunction({.address = fmt::format("{:04x}:{:02x}:{:02x}.0", bus / kBusesPerDomain,
                                           bus % kBusesPerDomain, i % kSlotsPerBus),
                    .group = i,
                    .numa_node = i < count / 2 ? 0 : 1,
                    .cdev = fmt::format("vfio{}", i)});
    SetMsiWindow(i, "0x08000000 0x00100000");
  }
}

void SysfsTree::AddGroupMember(std::uint32_t group, std::string_view name,
                               std::string_view directory) {
  const std::string folder = GroupDirectory(group);
  if (!std::filesystem::exists(Absolute(folder + "/reserved_regions"))) {
    AddFile(folder + "/reserved_regions", "0x0000000008000000 0x00000000080fffff msi\n");
    AddFile(folder + "/type", "DMA\n");
  }
  const std::string devices = folder + "/devices";
  AddLink(fmt::format("{}/{}", devices, name), RelativeLink(devices, directory));
  AddLink(fmt::format("{}/iommu_group", directory), RelativeLink(directory, folder));
}

void SysfsTree::AddDriver(std::string_view directory, std::string_view bus,
                          std::string_view driver) {
  const std::string driver_directory = fmt::format("bus/{}/drivers/{}", bus, driver);
  AddDirectory(driver_directory);
  AddLink(fmt::format("{}/driver", directory), RelativeLink(directory, driver_directory));
}

}  // namespace dp::fakes
