// SPDX-License-Identifier: Apache-2.0
#include "plugin/sysfs/pci_driver_files.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <optional>

#include "plugin/base/parse.h"
#include "plugin/base/status_macros.h"
#include "plugin/os/syscall.h"
#include "plugin/sysfs/attributes.h"

// Disks are claimed rather than looked for in lists of mounts. A list shows one mount namespace,
// and not the other disks of a btrfs or ZFS pool, an external journal, a swap area, a member of md
// or LVM, or what a program has for itself. All of these hold the disk exclusively, so the kernel
// answers for each of them.

namespace dp::sysfs {
namespace {

constexpr const char* kBlockDevices = "class/block";
constexpr const char* kNvmeSubsystems = "class/nvme-subsystem";
constexpr char kLeaveOut[] = "leave it out of the selectors";

class FileClaim final : public core::Claim {
 public:
  explicit FileClaim(std::vector<base::UniqueFd> files) : files_(std::move(files)) {}

 private:
  std::vector<base::UniqueFd> files_;
};

std::string Text(const absl::Status& status) { return std::string(status.message()); }

absl::Status WithPath(const std::string& path, const absl::Status& clause) {
  return {clause.code(), fmt::format("{} {}", path, Text(clause))};
}

std::string FirstLine(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

// Looks at one function and what is below it.
class Inspection {
 public:
  Inspection(const SysfsRoot& root, const std::string& address)
      : root_(root), address_(address), path_("bus/pci/devices/" + address) {}

  absl::StatusOr<SysfsDirectory> Open() const {
    auto function = root_.directory().Follow(path_.c_str());
    if (!function.ok()) return WithPath(root_.PathOf(path_), function.status());
    return function;
  }

  // Attributes that most functions do not have: virtual functions, the boot console.
  absl::Status CheckRole(const SysfsDirectory& function) {
    ASSIGN_OR_RETURN(const std::string functions, ReadOptional(function, "sriov_numvfs"));
    if (functions != "0") {
      return InUse(fmt::format("has {} virtual functions (SR-IOV)", functions),
                   "remove them, or leave it out of the selectors");
    }
    ASSIGN_OR_RETURN(const std::string console, ReadOptional(function, "boot_vga"));
    if (console != "0") {
      return InUse("is the graphics console that the host was booted with (boot_vga)", kLeaveOut);
    }
    return absl::OkStatus();
  }

  absl::Status CheckInterfaces(const SysfsDirectory& function) {
    std::size_t interfaces = 0;
    RETURN_IF_ERROR(WalkInterfaces(function, ".", 0, interfaces));
    const auto text = function.Read("uevent", buffer_);
    const auto uevent = text.ok() ? ParseUevent(*text) : absl::StatusOr<Uevent>(text.status());
    if (!uevent.ok()) return WithPath(root_.PathOf(path_ + "/uevent"), uevent.status());
    const bool is_network = uevent->pci && uevent->pci->class_code >> 16 == 0x02;
    if (!is_network || uevent->driver.empty() || interfaces > 0) return absl::OkStatus();
    return InUse(fmt::format("is a network controller on driver {} without an interface that is "
                             "seen, so nobody can tell whether it is in use",
                             uevent->driver),
                 "unbind it by hand, or leave it out of the selectors");
  }

  // The block devices that are gone with the function.
  absl::StatusOr<std::vector<std::string>> ListDisks() {
    std::vector<std::string> names;
    const absl::Status listed = root_.directory().List(kBlockDevices, buffer_, names);
    if (!listed.ok()) return WithPath(root_.PathOf(kBlockDevices), listed);
    const std::vector<std::string> folders = ListFolders();
    std::vector<std::string> disks;
    for (std::string& name : names) {
      const std::string path = fmt::format("{}/{}", kBlockDevices, name);
      const auto link = root_.directory().ReadLink(path.c_str());
      if (absl::IsNotFound(link.status())) continue;  // it has just gone
      const bool is_below =
          !link.ok() || std::any_of(folders.begin(), folders.end(), [&](const std::string& folder) {
            return link->find(folder) != std::string::npos;
          });
      if (is_below) disks.push_back(std::move(name));
    }
    return disks;
  }

  [[nodiscard]] absl::Status InUse(std::string_view how, std::string_view remedy) const {
    return absl::FailedPreconditionError(fmt::format("{} {}; {}", address_, how, remedy));
  }

 private:
  absl::StatusOr<std::string> ReadOptional(const SysfsDirectory& function, const char* name) {
    const auto text = function.Read(name, buffer_);
    if (absl::IsNotFound(text.status())) return "0";
    if (!text.ok()) return WithPath(root_.PathOf(fmt::format("{}/{}", path_, name)), text.status());
    return FirstLine(*text);
  }

  // `folder` and everything below. The directory "net" of a device stays when its interface moves
  // to another network namespace, and shows nothing to this one.
  absl::Status WalkInterfaces(const SysfsDirectory& function, const std::string& folder, int depth,
                              std::size_t& interfaces) {
    constexpr int kDeepest = 16;  // below a USB controller an interface is six deep
    std::vector<std::string> names;
    const absl::Status listed = function.List(folder.c_str(), buffer_, names);
    if (!listed.ok()) return absl::OkStatus();  // an attribute, a link, or gone
    const bool is_net = folder.ends_with("/net");
    if (is_net && names.empty()) {
      return InUse("has a network interface in another network namespace, as that of a pod",
                   "wait for its end, or leave it out of the selectors");
    }
    for (const std::string& name : names) {
      const std::string path = fmt::format("{}/{}", folder, name);
      if (is_net) {
        ++interfaces;
        RETURN_IF_ERROR(CheckInterface(function, path, name));
      } else if (depth < kDeepest) {
        RETURN_IF_ERROR(WalkInterfaces(function, path, depth + 1, interfaces));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckInterface(const SysfsDirectory& function, const std::string& path,
                              const std::string& name) {
    constexpr std::uint32_t kUp = 1;  // IFF_UP, netdevice(7)
    const auto text = function.Read((path + "/flags").c_str(), buffer_);
    const auto flags = text.ok() ? base::ParseHex<std::uint32_t>(FirstLine(*text)) : std::nullopt;
    if (!flags) {
      return InUse(fmt::format("has the network interface {}, of which nobody can tell whether it "
                               "is up",
                               name),
                   kLeaveOut);
    }
    if ((*flags & kUp) == 0) return absl::OkStatus();
    return InUse(fmt::format("has the network interface {}, which is up", name),
                 fmt::format("ip link set {} down, or leave it out of the selectors", name));
  }

  // Parts of paths by which a block device is known to be served by the function: its own directory
  // and, for an NVMe controller with several paths, that of its subsystem, where the namespaces are
  // then and which links to its controllers (nvme_init_subsystem() in drivers/nvme/host/core.c).
  std::vector<std::string> ListFolders() {
    std::vector<std::string> folders{fmt::format("/{}/", address_)};
    const std::string own = folders.front();
    std::vector<std::string> subsystems;
    if (!root_.directory().List(kNvmeSubsystems, buffer_, subsystems).ok()) return folders;
    for (const std::string& subsystem : subsystems) {
      const std::string path = fmt::format("{}/{}", kNvmeSubsystems, subsystem);
      const auto folder = root_.directory().Follow(path.c_str());
      std::vector<std::string> members;
      if (!folder.ok() || !folder->List(".", buffer_, members).ok()) continue;
      for (const std::string& member : members) {
        const auto link = folder->ReadLink(member.c_str());
        if (!link.ok() || link->find(own) == std::string::npos) continue;
        folders.push_back(fmt::format("/{}/", subsystem));
        break;
      }
    }
    return folders;
  }

  const SysfsRoot& root_;
  const std::string& address_;
  const std::string path_;
  SysfsDirectory::Buffer buffer_;
};

// What sysfs says of a block device.
struct Disk {
  std::string path;  // below /dev
  // One that has a node of its own: no partition, which goes with its disk, and no single path to
  // an NVMe namespace that has several.
  bool has_claim = false;
  os::DeviceNumber number;
  std::vector<std::string> holders;  // block devices that are made of it
};

absl::StatusOr<Disk> ReadDisk(const SysfsRoot& root, const std::string& name) {
  const std::string path = fmt::format("{}/{}", kBlockDevices, name);
  const auto folder = root.directory().Follow(path.c_str());
  if (!folder.ok()) return WithPath(root.PathOf(path), folder.status());
  SysfsDirectory::Buffer buffer;
  Disk disk;
  disk.path = name;
  // A name in sysfs has no slash (kobject_set_name_vargs() in lib/kobject.c).
  std::replace(disk.path.begin(), disk.path.end(), '!', '/');
  const auto hidden = folder->Read("hidden", buffer);
  const bool is_hidden = hidden.ok() && FirstLine(*hidden) != "0";
  disk.has_claim = !is_hidden && absl::IsNotFound(folder->Read("partition", buffer).status());
  const auto text = folder->Read("dev", buffer);
  if (!text.ok()) return WithPath(root.PathOf(path + "/dev"), text.status());
  const std::string numbers = FirstLine(*text);
  const std::size_t colon = std::min(numbers.find(':'), numbers.size());
  const auto major = base::ParseDecimal<std::uint32_t>(numbers.substr(0, colon));
  const auto minor =
      base::ParseDecimal<std::uint32_t>(numbers.substr(std::min(colon + 1, numbers.size())));
  if (!major || !minor) {
    return absl::InvalidArgumentError(fmt::format("{}/dev is not MAJOR:MINOR", root.PathOf(path)));
  }
  disk.number = {.major = *major, .minor = *minor};
  // Without an answer the claim decides.
  if (!folder->List("holders", buffer, disk.holders).ok()) disk.holders.clear();
  return disk;
}

}  // namespace

std::string RootArgument(std::string_view command_line) {
  constexpr std::string_view kKey = "root=";
  std::string root;
  while (!command_line.empty()) {
    const std::size_t end = std::min(command_line.find_first_of(" \n"), command_line.size());
    const std::string_view word = command_line.substr(0, end);
    // The last one counts.
    if (word.starts_with(kKey)) root = word.substr(kKey.size());
    command_line.remove_prefix(std::min(end + 1, command_line.size()));
  }
  return root;
}

absl::Status PciDriverFiles::FindDriver(const std::string& driver) {
  const std::string path = "bus/pci/drivers/" + driver;
  if (root_.directory().Follow(path.c_str()).ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("there is no {}; load the module {} (modprobe, /etc/modules-load.d)",
                  root_.PathOf(path), driver));
}

absl::StatusOr<core::DriverState> PciDriverFiles::Read(const std::string& address) {
  ASSIGN_OR_RETURN(const SysfsDirectory function, Inspection(root_, address).Open());
  const std::string path = root_.PathOf("bus/pci/devices/" + address);
  core::DriverState state{.address = address, .driver = {}, .driver_override = {}};
  SysfsDirectory::Buffer buffer;
  const auto text = function.Read("uevent", buffer);
  const auto uevent = text.ok() ? ParseUevent(*text) : absl::StatusOr<Uevent>(text.status());
  if (!uevent.ok()) return WithPath(path + "/uevent", uevent.status());
  state.driver = uevent->driver;
  const auto driver_override = function.Read("driver_override", buffer);
  if (!driver_override.ok()) return WithPath(path + "/driver_override", driver_override.status());
  state.driver_override = FirstLine(*driver_override);
  // What driver_override_show() makes of none.
  if (state.driver_override == "(null)") state.driver_override.clear();
  return state;
}

absl::StatusOr<std::unique_ptr<core::Claim>> PciDriverFiles::ClaimFromHost(
    const std::string& address) {
  Inspection inspection(root_, address);
  ASSIGN_OR_RETURN(const SysfsDirectory function, inspection.Open());
  RETURN_IF_ERROR(inspection.CheckRole(function));
  RETURN_IF_ERROR(inspection.CheckInterfaces(function));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, inspection.ListDisks());
  std::vector<base::UniqueFd> files;
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const Disk disk, ReadDisk(root_, name));
    if (host_.root_argument == "/dev/" + disk.path) {
      return inspection.InUse(
          fmt::format("has {}, from which the host was booted (root= of its command line)", name),
          kLeaveOut);
    }
    if (!disk.has_claim) continue;
    auto claim = claim_(fmt::format("{}/{}", host_.dev_root, disk.path), disk.number);
    if (claim.ok()) {
      files.push_back(*std::move(claim));
    } else if (!absl::IsUnavailable(claim.status())) {
      return inspection.InUse(
          fmt::format("has the disk {}, of which nobody can tell whether it is in use: {}", name,
                      Text(claim.status())),
          kLeaveOut);
    } else if (disk.holders.empty()) {
      return inspection.InUse(
          fmt::format("has the disk {}, which is in use: it or a partition of it is mounted, "
                      "swapped to or part of another device",
                      name),
          "free it, or leave it out of the selectors");
    } else {
      return inspection.InUse(fmt::format("has the disk {}, of which {} is made", name,
                                          fmt::join(disk.holders, " and ")),
                              "free it, or leave it out of the selectors");
    }
  }
  return std::make_unique<FileClaim>(std::move(files));
}

absl::StatusOr<std::unique_ptr<core::Claim>> PciDriverFiles::ClaimFromVmm(std::uint32_t group) {
  auto file = os::ClaimVfioGroup(fmt::format("{}/vfio/{}", host_.dev_root, group));
  if (file.ok()) {
    std::vector<base::UniqueFd> files;
    files.push_back(*std::move(file));
    return std::make_unique<FileClaim>(std::move(files));
  }
  if (absl::IsUnavailable(file.status())) {
    return absl::UnavailableError(
        fmt::format("a VMM has the IOMMU group: {}", Text(file.status())));
  }
  struct stat info {};
  // Where not even this node is seen, which is there whenever VFIO is, none is.
  const bool sees_nodes = ::stat((host_.dev_root + "/vfio/vfio").c_str(), &info) == 0;
  if (!absl::IsNotFound(file.status()) || sees_nodes) return file.status();
  return absl::FailedPreconditionError(fmt::format(
      "nobody can tell whether a VMM has IOMMU group {}: {}", group, Text(file.status())));
}

absl::Status PciDriverFiles::SetOverride(const std::string& address, const std::string& driver) {
  ASSIGN_OR_RETURN(const SysfsDirectory function, Inspection(root_, address).Open());
  const int error = function.Write("driver_override", driver + "\n");
  return WriteError(error, fmt::format("bus/pci/devices/{}/driver_override", address), driver);
}

absl::Status PciDriverFiles::Unbind(const std::string& address, const std::string& driver) {
  const std::string path = fmt::format("bus/pci/drivers/{}/unbind", driver);
  return WriteError(root_.directory().Write(path.c_str(), address + "\n"), path, address);
}

absl::Status PciDriverFiles::Probe(const std::string& address) {
  const std::string path = "bus/pci/drivers_probe";
  return WriteError(root_.directory().Write(path.c_str(), address + "\n"), path, address);
}

absl::Status PciDriverFiles::WriteError(int error, const std::string& path,
                                        const std::string& value) const {
  if (error == 0) return absl::OkStatus();
  const std::string action = fmt::format("write \"{}\" to {}", value, root_.PathOf(path));
  switch (error) {
    case EROFS:
      return absl::PermissionDeniedError(
          fmt::format("cannot {}: sysfs is mounted read-only there; binding.enabled of the chart "
                      "makes it writable",
                      action));
    case ENODEV:
      return absl::NotFoundError(fmt::format("cannot {}: it is not there any more", action));
    default:
      return os::ErrnoError(error, action);
  }
}

}  // namespace dp::sysfs
