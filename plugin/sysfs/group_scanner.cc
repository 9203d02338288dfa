// SPDX-License-Identifier: Apache-2.0
#include "plugin/sysfs/group_scanner.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plugin/base/parse.h"
#include "plugin/base/status_macros.h"
#include "plugin/core/pci_address.h"
#include "plugin/os/parallel.h"
#include "plugin/sysfs/attributes.h"

// The scan starts from the groups and not from the buses, for three reasons. A group is what VFIO
// hands out, so a member of a bus that nobody thought of must be seen too. A device has a group
// only once a driver was bound to it (before that, nobody could pass it through anyway), so a walk
// over a bus would mostly find what is of no use. And on a host with thousands of functions the
// walk is the daemon's start-up time: per function it opens one directory and reads two attributes
// in it, `uevent` standing for the six files and the driver link that say the same.
// What is left is the kernel looking up some twenty cold objects per group, 17 us each group on a
// 2026 server core, so a large host is read by several threads; they end before Scan() returns, and
// share nothing but the place to write to.
namespace dp::sysfs {
namespace {

constexpr const char* kGroups = "kernel/iommu_groups";
constexpr const char* kPciDevices = "bus/pci/devices";

// What was wrong, and where; empty: nothing.
using Problem = std::optional<core::Skipped>;

Problem At(std::string path, const absl::Status& reason) {
  return core::Skipped{.path = std::move(path), .reason = std::string(reason.message())};
}

// Reads group after group, with the same scratch memory.
class GroupReader {
 public:
  explicit GroupReader(const SysfsDirectory& root) : root_(root) {}

  absl::Status ListGroups(std::vector<std::string>& names) {
    return root_.List(kGroups, buffer_, names);
  }

  std::vector<core::Function> ReadUngrouped() {
    std::vector<core::Function> functions;
    if (!root_.List(kPciDevices, buffer_, members_).ok()) return functions;
    for (std::string& name : members_) {
      const std::string path = fmt::format("{}/{}", kPciDevices, name);
      const absl::StatusOr<SysfsDirectory> device = root_.Follow(path.c_str());
      if (!device.ok() || !absl::IsNotFound(device->ReadLink("iommu_group").status())) continue;
      core::Function function;
      function.name = std::move(name);
      if (!ReadFunction(path, function)) functions.push_back(std::move(function));
    }
    return functions;
  }

  Problem ReadGroup(std::uint32_t number, core::Group& group) {
    const std::string folder = fmt::format("{}/{}", kGroups, number);
    group.number = number;
    if (Problem problem = ReadWindow(folder, group)) return problem;
    const std::string devices = folder + "/devices";
    if (const absl::Status status = root_.List(devices.c_str(), buffer_, members_); !status.ok())
      return At(devices, status);
    std::sort(members_.begin(), members_.end());
    group.functions.reserve(members_.size());
    for (std::string& name : members_) {
      const std::string path = devices + "/" + name;
      core::Function& function = group.functions.emplace_back();
      function.name = std::move(name);
      if (Problem problem = ReadFunction(path, function)) return problem;
    }
    return std::nullopt;
  }

 private:
  // The window in force, and the reserved regions, which are told apart by it.
  Problem ReadWindow(const std::string& folder, core::Group& group) {
    const std::string knob_path = folder + "/msi_window";
    const absl::StatusOr<std::string_view> knob = root_.Read(knob_path.c_str(), buffer_);
    if (knob.ok()) {
      const absl::StatusOr<std::optional<core::Window>> window = ParseMsiWindow(*knob);
      if (!window.ok()) return At(knob_path, window.status());
      group.window = *window;
      group.knob = group.window ? core::Knob::kPresent : core::Knob::kNone;
    } else if (!absl::IsNotFound(knob.status())) {
      return At(knob_path, knob.status());
    }

    const std::string regions_path = folder + "/reserved_regions";
    const absl::StatusOr<std::string_view> text = root_.Read(regions_path.c_str(), buffer_);
    if (!text.ok()) return At(regions_path, text.status());
    // A kernel without the knob knows one software window only.
    const std::optional<core::Window> software_window =
        group.knob == core::Knob::kAbsent ? std::optional(core::kFixedWindow) : group.window;
    absl::StatusOr<std::vector<core::ReservedRegion>> regions =
        ParseReservedRegions(*text, software_window);
    if (!regions.ok()) return At(regions_path, regions.status());
    group.reserved_regions = *std::move(regions);
    const bool has_software_window =
        std::any_of(group.reserved_regions.begin(), group.reserved_regions.end(),
                    [](const core::ReservedRegion& region) {
                      return region.type == core::RegionType::kSoftwareMsi;
                    });
    if (has_software_window) group.window = software_window;
    return std::nullopt;
  }

  Problem ReadFunction(const std::string& path, core::Function& function) {
    const absl::StatusOr<SysfsDirectory> device = root_.Follow(path.c_str());
    if (!device.ok()) return At(path, device.status());
    if (const absl::Status status = ReadUevent(*device, function); !status.ok())
      return At(path + "/uevent", status);
    if (const absl::Status status = ReadNumaNode(*device, function); !status.ok())
      return At(path + "/numa_node", status);
    if (function.driver.empty()) return std::nullopt;
    if (const absl::Status status = ReadCdev(*device, function); !status.ok())
      return At(path + "/vfio-dev", status);
    return std::nullopt;
  }

  absl::Status ReadUevent(const SysfsDirectory& device, core::Function& function) {
    ASSIGN_OR_RETURN(const std::string_view text, device.Read("uevent", buffer_));
    // Without a single line nothing tells whether a driver is bound: a group must not look free
    // because of that.
    if (text.empty()) return absl::InvalidArgumentError("is empty");
    ASSIGN_OR_RETURN(Uevent uevent, ParseUevent(text));
    const absl::StatusOr<core::PciAddress> address = core::ParsePciAddress(function.name);
    if (address.ok() != uevent.pci.has_value()) {
      return absl::InvalidArgumentError(
          address.ok() ? "has no lines PCI_CLASS, PCI_ID and PCI_SUBSYS_ID"
                       : "is of a PCI function whose name is not a PCI address");
    }
    function.driver = uevent.driver;
    if (uevent.pci) {
      function.pci = *uevent.pci;
      function.pci->address = *address;
    }
    return absl::OkStatus();
  }

  absl::Status ReadNumaNode(const SysfsDirectory& device, core::Function& function) {
    const absl::StatusOr<std::string_view> text = device.Read("numa_node", buffer_);
    if (absl::IsNotFound(text.status())) return absl::OkStatus();  // a kernel without CONFIG_NUMA
    if (!text.ok()) return text.status();
    ASSIGN_OR_RETURN(function.numa_node, ParseNumaNode(*text));
    return absl::OkStatus();
  }

  // Documentation/ABI/testing/sysfs-devices-vfio-dev: a directory with one entry, while a VFIO
  // driver is bound.
  absl::Status ReadCdev(const SysfsDirectory& device, core::Function& function) {
    const absl::Status status = device.List("vfio-dev", buffer_, cdevs_);
    if (absl::IsNotFound(status)) return absl::OkStatus();
    RETURN_IF_ERROR(status);
    if (cdevs_.empty()) return absl::OkStatus();
    if (cdevs_.size() > 1) return absl::InvalidArgumentError("has more than one entry");
    if (!IsVfioCdevName(cdevs_.front()))
      return absl::InvalidArgumentError("has an entry that is not named vfioN");
    function.cdev = std::move(cdevs_.front());
    return absl::OkStatus();
  }

  const SysfsDirectory& root_;
  SysfsDirectory::Buffer buffer_;
  std::vector<std::string> members_;
  std::vector<std::string> cdevs_;
};

void ReadGroups(const SysfsDirectory& root, const std::vector<std::uint32_t>& numbers,
                core::Inventory& inventory) {
  // Below this a thread costs more than it saves.
  constexpr std::size_t kGroupsPerThread = 512;
  constexpr std::size_t kMostThreads = 4;
  const std::size_t threads =
      std::min({1 + numbers.size() / kGroupsPerThread, os::AvailableProcessors(), kMostThreads});

  // Every thread takes the next group that nobody has taken, and fills the places that belong to
  // it.
  inventory.groups.resize(numbers.size());
  std::vector<Problem> problems(numbers.size());
  std::atomic<std::size_t> next = 0;
  os::RunOnThreads(threads, [&] {
    GroupReader reader(root);
    for (std::size_t i = next++; i < numbers.size(); i = next++) {
      problems[i] = reader.ReadGroup(numbers[i], inventory.groups[i]);
    }
  });

  std::size_t sound = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (problems[i]) {
      inventory.skipped.push_back(*std::move(problems[i]));
    } else {
      if (sound != i) inventory.groups[sound] = std::move(inventory.groups[i]);
      ++sound;
    }
  }
  inventory.groups.resize(sound);
}

}  // namespace

absl::StatusOr<core::Inventory> GroupScanner::Scan() {
  GroupReader reader(root_.directory());
  std::vector<std::string> names;
  if (const absl::Status status = reader.ListGroups(names); !status.ok()) {
    return absl::FailedPreconditionError(fmt::format(
        "{} {}: sysfs is not mounted there, or the kernel has no IOMMU support",
        root_.PathOf(kGroups), std::string_view(status.message().data(), status.message().size())));
  }
  if (names.empty()) {
    return absl::FailedPreconditionError(fmt::format(
        "{} is empty: the host has no IOMMU, or it is switched off", root_.PathOf(kGroups)));
  }

  core::Inventory inventory;
  std::vector<std::uint32_t> numbers;
  numbers.reserve(names.size());
  for (const std::string& name : names) {
    if (const auto number = base::ParseDecimal<std::uint32_t>(name)) {
      numbers.push_back(*number);
    } else {
      inventory.skipped.push_back(
          {.path = fmt::format("{}/{}", kGroups, name), .reason = "is not named by a number"});
    }
  }
  std::sort(numbers.begin(), numbers.end());
  ReadGroups(root_.directory(), numbers, inventory);
  return inventory;
}

absl::StatusOr<core::Group> GroupScanner::ScanGroup(std::uint32_t number) {
  const std::string folder = fmt::format("{}/{}", kGroups, number);
  if (!root_.directory().Follow(folder.c_str()).ok()) {
    return absl::NotFoundError(fmt::format("{} does not exist", root_.PathOf(folder)));
  }
  GroupReader reader(root_.directory());
  core::Group group;
  if (const Problem problem = reader.ReadGroup(number, group)) {
    return absl::FailedPreconditionError(
        fmt::format("{} {}", root_.PathOf(problem->path), problem->reason));
  }
  return group;
}

std::vector<core::Function> GroupScanner::ScanUngrouped() {
  return GroupReader(root_.directory()).ReadUngrouped();
}

}  // namespace dp::sysfs
