// SPDX-License-Identifier: Apache-2.0
#include "plugin/sysfs/attributes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

#include "plugin/base/excerpt.h"
#include "plugin/base/parse.h"
#include "plugin/base/status_macros.h"

namespace dp::sysfs {
namespace {

absl::Status Refuse(std::string_view text, std::string_view expected) {
  return absl::InvalidArgumentError(
      fmt::format("holds \"{}\", not {}", base::Excerpt(text), expected));
}

// Calls `use` with each line, without its newline, until it fails.
template <typename Use>
absl::Status ForEachLine(std::string_view text, Use use) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos)
      return absl::InvalidArgumentError("does not end with a newline");
    RETURN_IF_ERROR(use(text.substr(0, end)));
    text.remove_prefix(end + 1);
  }
  return absl::OkStatus();
}

// The only line of an attribute that has one.
absl::StatusOr<std::string_view> SingleLine(std::string_view text) {
  std::optional<std::string_view> single;
  RETURN_IF_ERROR(ForEachLine(text, [&](std::string_view line) {
    if (single) return absl::InvalidArgumentError("has more than one line");
    single = line;
    return absl::OkStatus();
  }));
  if (!single) return absl::InvalidArgumentError("is empty");
  return *single;
}

// "1B36:0010"
std::optional<std::pair<std::uint16_t, std::uint16_t>> ParseIdPair(std::string_view text) {
  if (text.size() != 9 || text[4] != ':') return std::nullopt;
  const auto first = base::ParseDigits(text.substr(0, 4), 16, UINT16_MAX);
  const auto second = base::ParseDigits(text.substr(5), 16, UINT16_MAX);
  if (!first || !second) return std::nullopt;
  return std::pair(static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*second));
}

// "0x0000000008000000", the only form that the kernel writes.
std::optional<std::uint64_t> ParseRegionBound(std::string_view text) {
  return text.starts_with("0x") ? base::ParseHex<std::uint64_t>(text) : std::nullopt;
}

// Indexed by nothing, searched: iommu_group_resv_type_string[] in drivers/iommu/iommu.c.
constexpr std::array<std::pair<std::string_view, core::RegionType>, 4> kRegionTypes{
    {{"direct", core::RegionType::kDirect},
     {"direct-relaxable", core::RegionType::kDirectRelaxable},
     {"reserved", core::RegionType::kReserved},
     {"msi", core::RegionType::kHardwareMsi}}};

absl::StatusOr<core::ReservedRegion> ParseRegion(std::string_view line) {
  const std::size_t first_end = line.find(' ');
  const std::size_t last_end =
      first_end == std::string_view::npos ? first_end : line.find(' ', first_end + 1);
  if (last_end != std::string_view::npos) {
    const auto first = ParseRegionBound(line.substr(0, first_end));
    const auto last = ParseRegionBound(line.substr(first_end + 1, last_end - first_end - 1));
    const auto* const type =
        std::find_if(kRegionTypes.begin(), kRegionTypes.end(),
                     [&](const auto& known) { return known.first == line.substr(last_end + 1); });
    if (first && last && *first <= *last && type != kRegionTypes.end()) {
      return core::ReservedRegion{.first = *first, .last = *last, .type = type->second};
    }
  }
  return Refuse(line, "\"0xFIRST 0xLAST TYPE\"");
}

}  // namespace

absl::StatusOr<Uevent> ParseUevent(std::string_view text) {
  Uevent uevent;
  core::PciIdentity pci;
  bool has_class = false;
  bool has_id = false;
  bool has_subsystem = false;
  RETURN_IF_ERROR(ForEachLine(text, [&](std::string_view line) {
    const std::size_t separator = line.find('=');
    if (separator == std::string_view::npos) return Refuse(line, "KEY=VALUE");
    const std::string_view key = line.substr(0, separator);
    const std::string_view value = line.substr(separator + 1);
    if (key == "DRIVER") {
      if (value.empty()) return Refuse(line, "DRIVER=NAME");
      uevent.driver = value;
    } else if (key == "PCI_CLASS") {
      const auto code = base::ParseDigits(value, 16, 0xffffff);
      if (!code) return Refuse(line, "PCI_CLASS=CCSSPP");
      pci.class_code = static_cast<std::uint32_t>(*code);
      has_class = true;
    } else if (key == "PCI_ID") {
      const auto id = ParseIdPair(value);
      if (!id) return Refuse(line, "PCI_ID=VVVV:DDDD");
      std::tie(pci.vendor, pci.device) = *id;
      has_id = true;
    } else if (key == "PCI_SUBSYS_ID") {
      const auto id = ParseIdPair(value);
      if (!id) return Refuse(line, "PCI_SUBSYS_ID=VVVV:DDDD");
      std::tie(pci.subsystem_vendor, pci.subsystem_device) = *id;
      has_subsystem = true;
    }
    return absl::OkStatus();
  }));
  if (has_class && has_id && has_subsystem) {
    uevent.pci = pci;
  } else if (has_class || has_id || has_subsystem) {
    return absl::InvalidArgumentError(
        "has some of the lines PCI_CLASS, PCI_ID and PCI_SUBSYS_ID, but not all");
  }
  return uevent;
}

absl::StatusOr<std::vector<core::ReservedRegion>> ParseReservedRegions(
    std::string_view text, std::optional<core::Window> software_window) {
  std::vector<core::ReservedRegion> regions;
  RETURN_IF_ERROR(ForEachLine(text, [&](std::string_view line) {
    absl::StatusOr<core::ReservedRegion> region = ParseRegion(line);
    if (!region.ok()) return region.status();
    if (region->type == core::RegionType::kHardwareMsi && software_window &&
        region->first == software_window->base &&
        region->last - region->first == software_window->size - 1) {
      region->type = core::RegionType::kSoftwareMsi;
    }
    regions.push_back(*region);
    return absl::OkStatus();
  }));
  return regions;
}

absl::StatusOr<std::optional<int>> ParseNumaNode(std::string_view text) {
  ASSIGN_OR_RETURN(const std::string_view line, SingleLine(text));
  if (line == "-1") return std::optional<int>();
  const auto node = base::ParseDecimal<std::uint64_t>(line);
  if (!node || *node > std::uint64_t{std::numeric_limits<int>::max()})
    return Refuse(line, "a NUMA node or -1");
  return std::optional<int>(static_cast<int>(*node));
}

absl::StatusOr<std::optional<core::Window>> ParseMsiWindow(std::string_view text) {
  ASSIGN_OR_RETURN(const std::string_view line, SingleLine(text));
  if (line == "none") return std::optional<core::Window>();
  const absl::StatusOr<core::Window> window = core::ParseWindow(line);
  if (!window.ok()) return Refuse(line, "\"0xBASE 0xSIZE\" or \"none\"");
  return std::optional<core::Window>(*window);
}

bool IsVfioCdevName(std::string_view name) {
  return name.starts_with("vfio") && base::ParseDecimal<std::uint32_t>(name.substr(4)).has_value();
}

}  // namespace dp::sysfs
