// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plugin/core/window.h"

// What the administrator wants: the validated content of the YAML configuration
// (docs/configuration.md).
namespace dp::core {

enum class Mode {
  kEnforce,  // reserve a window per allocation and write it to the kernel
  kObserve,  // never write; hand over the window in force
};

// Matches a PCI function if every given field does.
struct Selector {
  std::optional<std::uint16_t> vendor;
  std::optional<std::uint16_t> device;
  std::optional<std::uint16_t> subsystem_vendor;
  std::optional<std::uint16_t> subsystem_device;
  // The leading one, two or three bytes of the class code: 0x01, 0x0108 or 0x010802, with
  // class_bytes = 1, 2, 3.
  std::optional<std::uint32_t> class_prefix;
  int class_bytes = 0;
  std::optional<std::string> driver;   // exact name
  std::vector<std::string> addresses;  // fnmatch(3) globs over the full address; empty: any
  std::optional<int> numa_node;
  // Whether the groups of what it matches are bound to vfio-pci (core/binder). Then `driver` is
  // empty, because binding changes it.
  bool bind = false;
  int line = 0;  // where it stands in the file, for messages
};

struct Resource {
  std::string name;                 // extended resource name: "vendor.example/nvme"
  std::vector<Selector> selectors;  // one that matches is enough
  // Whether a container gets /dev/iommu, too: for a VMM that opens an iommufd by itself.
  bool iommufd = false;
  // Whether its windows are left alone, as with Mode::kObserve.
  bool observe = false;
  // Whether device nodes are handed over by CDI (Container Device Interface) instead of by path.
  bool cdi = false;
  int line = 0;
};

// Windows are cut from [start, end), each window_size long; all three on the granule.
struct Pool {
  std::uint64_t start = 0x09100000;
  std::uint64_t end = 0x10000000;
  std::uint64_t window_size = kWindowGranule;

  friend bool operator==(const Pool&, const Pool&) = default;
};

struct Config {
  std::vector<Resource> resources;
  Pool pool;
  Mode mode = Mode::kEnforce;
  std::string hash = {};  // of its file: CRC-32, eight hexadecimal digits; empty: of none
};

}  // namespace dp::core
