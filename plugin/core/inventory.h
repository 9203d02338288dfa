// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plugin/core/pci_address.h"
#include "plugin/core/window.h"

// What a host offers, as read from sysfs at one moment. Plain values: no file, no descriptor.
namespace dp::core {

// What only PCI functions have.
struct PciIdentity {
  PciAddress address;
  std::uint16_t vendor = 0;
  std::uint16_t device = 0;
  std::uint16_t subsystem_vendor = 0;
  std::uint16_t subsystem_device = 0;
  std::uint32_t class_code = 0;  // 24 bits: base class, subclass, programming interface

  // A bridge stays with its own driver when the functions behind it are passed through (base class
  // 06).
  [[nodiscard]] bool is_bridge() const { return class_code >> 16 == 0x06; }
};

// A member of an IOMMU group: a PCI function, or (pci empty) a device of another bus, for example
// platform.
struct Function {
  std::string name;  // as in /sys/bus/<bus>/devices; for PCI FormatPciAddress(pci->address)
  std::optional<PciIdentity> pci;
  std::string driver;            // empty: no driver bound
  std::string cdev;              // "vfio7" of /dev/vfio/devices/vfio7; empty: none
  std::optional<int> numa_node;  // empty where the host says -1

  [[nodiscard]] bool is_bridge() const { return pci.has_value() && pci->is_bridge(); }
};

// Documentation/ABI/testing/sysfs-kernel-iommu_groups, reserved_regions.
enum class RegionType { kDirect, kDirectRelaxable, kReserved, kHardwareMsi, kSoftwareMsi };

struct ReservedRegion {
  std::uint64_t first = 0;
  std::uint64_t last = 0;  // inclusive
  RegionType type = RegionType::kReserved;
};

// How a group's MSI window can be steered on this kernel.
enum class Knob {
  kAbsent,  // no msi_window attribute: a kernel without the series
  kNone,  // the attribute says "none": the group has no software window (for example x86, hardware
          // MSI region)
  kPresent,  // the window can be moved
};

struct Group {
  std::uint32_t number = 0;         // changes between boots: never an identity
  std::vector<Function> functions;  // all members, in order of their names
  std::vector<ReservedRegion> reserved_regions;
  Knob knob = Knob::kAbsent;
  std::optional<Window> window;  // in force: msi_window's, else the software MSI region's
};

// Something that could not be read, and was left out.
struct Skipped {
  std::string path;    // relative to the root of sysfs
  std::string reason;  // one clause, without the path
};

struct Inventory {
  std::vector<Group> groups;  // ascending numbers
  std::vector<Skipped> skipped;
};

}  // namespace dp::core
