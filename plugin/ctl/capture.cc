// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/capture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/ctl/daemon.h"
#include "plugin/ctl/facts.h"
#include "plugin/ctl/node_json.h"
#include "plugin/ctl/unpack.h"
#include "plugin/os/file.h"

namespace dp::ctl {
namespace {

// What scripts/capture-sysfs takes, too.
constexpr std::array kGroupAttributes{"msi_window", "reserved_regions", "type"};
constexpr std::array kDeviceAttributes{
    "class", "device", "numa_node", "subsystem_device", "subsystem_vendor", "vendor"};
constexpr std::array kDeviceLinks{"driver", "iommu_group", "subsystem"};
constexpr std::array<std::string_view, 4> kUeventKeys{"DRIVER=", "MODALIAS=", "OF_NAME=", "PCI_"};
// Of one directory.
constexpr std::size_t kMostNames = 65536;
constexpr std::size_t kLongestFile = std::size_t{16} << 20;

// Where a link in `folder` leads, by its text; empty: out of the tree.
std::string Resolve(const std::string& folder, std::string_view target) {
  std::vector<std::string_view> parts;
  const auto walk = [&parts](std::string_view path) {
    while (true) {
      const auto end = path.find('/');
      const std::string_view part = path.substr(0, end);
      if (part == "..") {
        if (parts.empty()) return false;
        parts.pop_back();
      } else if (!part.empty() && part != ".") {
        parts.push_back(part);
      }
      if (end == std::string_view::npos) return true;
      path.remove_prefix(end + 1);
    }
  };
  if (target.starts_with('/') || !walk(folder) || !walk(target)) return {};
  return fmt::format("{}", fmt::join(parts, "/"));
}

class SysfsCapture {
 public:
  SysfsCapture(const sysfs::SysfsDirectory& root, ArchiveWriter& archive)
      : root_(root), archive_(archive) {}

  void Take() {
    std::vector<std::string> groups = List("kernel/iommu_groups");
    for (const std::string& group : groups) {
      if (archive_.is_full()) return;
      TakeGroup("kernel/iommu_groups/" + group);
    }
    for (const char* folder : {"bus/pci/drivers/vfio-pci", "class/misc/iommu"}) {
      if (root_.Follow(folder).ok()) archive_.AddDirectory(folder);
    }
  }

 private:
  // Those that nothing has been taken of yet, in their order.
  std::vector<std::string> List(const std::string& folder) {
    std::vector<std::string> names;
    const absl::Status status = root_.List(folder.c_str(), buffer_, names, kMostNames);
    if (!status.ok() && !absl::IsNotFound(status))
      archive_.LeaveOut(folder, std::string(status.message()));
    std::sort(names.begin(), names.end());
    return names;
  }

  void TakeGroup(const std::string& group) {
    for (const char* name : kGroupAttributes) TakeFile(group + "/" + name);
    const std::string folder = group + "/devices";
    for (const std::string& name : List(folder)) {
      if (archive_.is_full()) return;
      const auto target = TakeLink(folder, name);
      if (!target) continue;
      const std::string device = Resolve(folder, *target);
      if (device.empty()) {
        archive_.LeaveOut(folder + "/" + name, "leads out of sysfs");
      } else if (taken_.insert(device).second) {
        TakeDevice(device);
        TakeLinkIfThere("bus/pci/devices", name);
      }
    }
  }

  void TakeDevice(const std::string& device) {
    TakeUevent(device + "/uevent");
    for (const char* name : kDeviceAttributes) TakeFile(device + "/" + name);
    for (const char* name : kDeviceLinks) TakeLinkIfThere(device, name);
    for (const std::string& name : List(device + "/vfio-dev"))
      archive_.AddDirectory(fmt::format("{}/vfio-dev/{}", device, name));
  }

  std::optional<std::string> Read(const std::string& path) {
    const auto text = root_.Read(path.c_str(), buffer_);
    if (text.ok()) return std::string(*text);
    if (!absl::IsNotFound(text.status()))
      archive_.LeaveOut(path, std::string(text.status().message()));
    return std::nullopt;
  }

  void TakeFile(const std::string& path) {
    const auto text = Read(path);
    if (!text) return;
    // The archive has whole lines only, and this would look sound in it.
    if (!text->empty() && text->back() != '\n')
      return archive_.LeaveOut(path, "has no newline at its end");
    archive_.AddFile(path, *text);
  }

  // Without what tells this device from others of its kind.
  void TakeUevent(const std::string& path) {
    const auto text = Read(path);
    if (!text) return;
    std::string kept;
    std::string_view rest = *text;
    while (!rest.empty()) {
      const auto end = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, end);
      if (std::any_of(kUeventKeys.begin(), kUeventKeys.end(),
                      [line](std::string_view key) { return line.starts_with(key); })) {
        kept.append(line).push_back('\n');
      }
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    archive_.AddFile(path, kept);
  }

  std::optional<std::string> TakeLink(const std::string& folder, const std::string& name) {
    const std::string path = folder + "/" + name;
    auto target = root_.ReadLink(path.c_str());
    if (!target.ok()) {
      archive_.LeaveOut(path, std::string(target.status().message()));
      return std::nullopt;
    }
    archive_.AddLink(path, *target);
    return *std::move(target);
  }

  void TakeLinkIfThere(const std::string& folder, const std::string& name) {
    const std::string path = folder + "/" + name;
    const auto target = root_.ReadLink(path.c_str());
    if (target.ok()) archive_.AddLink(path, *target);
  }

  const sysfs::SysfsDirectory& root_;
  ArchiveWriter& archive_;
  sysfs::SysfsDirectory::Buffer buffer_;
  std::set<std::string> taken_;  // devices
};

void TakeOwnFile(const std::string& path, const std::string& name, ArchiveWriter& archive) {
  const auto text = os::ReadFile(path, kLongestFile);
  const std::string place = fmt::format("{}/{}", kOwnFolder, name);
  if (text.ok()) {
    archive.AddFile(place, *text);
  } else if (!absl::IsNotFound(text.status())) {
    archive.LeaveOut(place, std::string(text.status().message()));
  }
}

void TakeJson(const nlohmann::ordered_json& json, const std::string& name, ArchiveWriter& archive) {
  constexpr auto kReplace = nlohmann::ordered_json::error_handler_t::replace;
  archive.AddFile(fmt::format("{}/{}", kOwnFolder, name), json.dump(1, ' ', true, kReplace));
}

}  // namespace

void CaptureSysfs(const sysfs::SysfsRoot& root, ArchiveWriter& archive) {
  SysfsCapture(root.directory(), archive).Take();
}

ArchiveWriter Capture(const Places& places) {
  ArchiveWriter archive;
  archive.AddComment("SPDX-License-Identifier: Apache-2.0");
  const Facts facts = ReadFacts(places);
  archive.AddComment(fmt::format("Captured by doorbellctl {} on Linux {} {}.",
                                 VFIO_DOORBELL_VERSION, facts.release, facts.machine));
  // First what is small, so that there is room for it.
  TakeJson(JsonOf(facts), "facts.json", archive);
  TakeOwnFile(places.config, "config.yaml", archive);
  const auto node = AskState(places.socket);
  if (node.ok()) {
    TakeJson(JsonOf(*node), "node.json", archive);
  } else {
    archive.LeaveOut(fmt::format("{}/node.json", kOwnFolder), std::string(node.status().message()));
  }
  TakeOwnFile(places.data_dir + "/ledger.json", "ledger.json", archive);
  TakeOwnFile(places.data_dir + "/drivers.json", "drivers.json", archive);
  const auto root = sysfs::SysfsRoot::Open(places.sysfs_root);
  if (root.ok()) {
    CaptureSysfs(*root, archive);
  } else {
    archive.LeaveOut(places.sysfs_root, std::string(root.status().message()));
  }
  return archive;
}

}  // namespace dp::ctl
