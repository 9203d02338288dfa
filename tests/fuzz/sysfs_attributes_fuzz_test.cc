// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/pci_address.h"
#include "plugin/core/window.h"
#include "plugin/core/window_pool.h"
#include "plugin/sysfs/attributes.h"
#include "tests/fuzz/require.h"

// Input: the text of an attribute, or the name of an entry of a directory. Which one is not said:
// it is given to every parser.
namespace dp::fuzz {
namespace {

// An attribute that is cut off is refused; any refusal is InvalidArgument, with a clause. True: it
// was read.
template <typename T>
bool IsRead(const absl::StatusOr<T>& read, std::string_view text) {
  if (read.ok()) {
    Require(text.empty() || text.ends_with('\n'), "what is cut off is refused", text);
    return true;
  }
  Require(absl::IsInvalidArgument(read.status()), "an error is InvalidArgument",
          read.status().ToString());
  RequireOneLine(std::string(read.status().message()));
  return false;
}

// As pci_uevent() in drivers/pci/pci-driver.c writes it.
std::string TextOf(const sysfs::Uevent& uevent) {
  std::string text;
  if (!uevent.driver.empty()) text += fmt::format("DRIVER={}\n", uevent.driver);
  if (const auto& pci = uevent.pci) {
    text += fmt::format("PCI_CLASS={:04X}\nPCI_ID={:04X}:{:04X}\nPCI_SUBSYS_ID={:04X}:{:04X}\n",
                        pci->class_code, pci->vendor, pci->device, pci->subsystem_vendor,
                        pci->subsystem_device);
  }
  return text;
}

void TryUevent(std::string_view text) {
  const auto uevent = sysfs::ParseUevent(text);
  if (!IsRead(uevent, text)) return;
  Require(uevent->driver.find('\n') == std::string_view::npos, "a driver is one line", text);
  Require(!uevent->pci || uevent->pci->class_code <= 0xffffff, "a class has 24 bits", text);
  const std::string written = TextOf(*uevent);
  const auto again = sysfs::ParseUevent(written);
  Require(again.ok() && TextOf(*again) == written, "a uevent is read again", written);
}

std::string_view NameOf(core::RegionType type) {
  switch (type) {
    case core::RegionType::kDirect:
      return "direct";
    case core::RegionType::kDirectRelaxable:
      return "direct-relaxable";
    case core::RegionType::kReserved:
      return "reserved";
    case core::RegionType::kHardwareMsi:
    case core::RegionType::kSoftwareMsi:
      return "msi";
  }
  return "";
}

// As iommu_group_show_resv_regions() in drivers/iommu/iommu.c writes it.
std::string TextOf(const std::vector<core::ReservedRegion>& regions) {
  std::string text;
  for (const core::ReservedRegion& region : regions) {
    text += fmt::format("{:#018x} {:#018x} {}\n", region.first, region.last, NameOf(region.type));
  }
  return text;
}

void TryReservedRegions(std::string_view text, std::optional<core::Window> software_window) {
  const auto regions = sysfs::ParseReservedRegions(text, software_window);
  if (!IsRead(regions, text)) return;
  Require(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) == regions->size(),
          "each line is a region", text);
  for (const core::ReservedRegion& region : *regions) {
    Require(region.first <= region.last, "a region does not end before it begins", text);
    const bool is_software = NameOf(region.type) == "msi" && software_window &&
                             region.first == software_window->base &&
                             region.last - region.first == software_window->size - 1;
    Require(is_software == (region.type == core::RegionType::kSoftwareMsi),
            "the software window is told from hardware's", text);
  }
  const std::string written = TextOf(*regions);
  const auto again = sysfs::ParseReservedRegions(written, software_window);
  Require(again.ok() && TextOf(*again) == written, "regions are read again", written);
}

void TryNumaNode(std::string_view text) {
  const auto node = sysfs::ParseNumaNode(text);
  if (!IsRead(node, text)) return;
  Require(!*node || **node >= 0, "a node is not negative", text);
  const auto again = sysfs::ParseNumaNode(fmt::format("{}\n", node->value_or(-1)));
  Require(again.ok() && *again == *node, "a node is read again", text);
}

bool Overlap(core::Window a, core::Window b) {
  const core::Window& lower = a.base < b.base ? a : b;
  const core::Window& upper = a.base < b.base ? b : a;
  return upper.size > 0 && upper.base - lower.base < lower.size;
}

void TryMsiWindow(std::string_view text) {
  const auto window = sysfs::ParseMsiWindow(text);
  if (!IsRead(window, text)) return;
  const std::string written = *window ? core::FormatWindow(**window) + "\n" : "none\n";
  const auto again = sysfs::ParseMsiWindow(written);
  Require(again.ok() && *again == *window, "a window is read again", written);
  if (!*window) return;
  const auto same = core::ParseWindow(text);
  Require(same.ok() && *same == **window, "a window is the same to all", written);
  // What is in force in a group is kept out of the pool.
  core::WindowPool pool{core::Pool{}};
  pool.Claim(**window);
  while (const std::optional<core::Window> taken = pool.Take()) {
    Require(!Overlap(*taken, **window), "a window in force is not handed out", written);
  }
}

void TryPciAddress(std::string_view text) {
  const auto address = core::ParsePciAddress(text);
  if (!address.ok()) {
    Require(absl::IsInvalidArgument(address.status()), "an error is InvalidArgument", text);
    return;
  }
  Require(address->slot < 32 && address->function < 8, "an address is one", text);
  const std::string written = core::FormatPciAddress(*address);
  const auto again = core::ParsePciAddress(written);
  Require(again.ok() && *again == *address, "an address is read again", written);
}

void TryCdevName(std::string_view name) {
  if (!sysfs::IsVfioCdevName(name)) return;
  Require(name.starts_with("vfio") && name.size() > 4 &&
              name.find_first_not_of("0123456789", 4) == std::string_view::npos,
          "the name of a device node is no path", name);
}

}  // namespace
}  // namespace dp::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  dp::fuzz::TryUevent(text);
  dp::fuzz::TryReservedRegions(text, std::nullopt);
  dp::fuzz::TryReservedRegions(text, dp::core::kFixedWindow);
  dp::fuzz::TryNumaNode(text);
  dp::fuzz::TryMsiWindow(text);
  dp::fuzz::TryPciAddress(text);
  dp::fuzz::TryCdevName(text);
  return 0;
}
