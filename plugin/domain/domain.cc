// SPDX-License-Identifier: Apache-2.0
#include "plugin/domain/domain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <optional>

#include "plugin/base/excerpt.h"
#include "plugin/base/parse.h"
#include "plugin/base/status_macros.h"
#include "plugin/domain/xml.h"

namespace dp::domain {
namespace {

constexpr std::string_view kQemuSpace = "http://libvirt.org/schemas/domain/qemu/1.0";
// No processor has more than 52 bits for addresses; this much and a few such sums fit 64 bits.
constexpr std::uint64_t kMostMemory = std::uint64_t{1} << 56;

std::string Clause(const Element& element, std::string_view what) {
  return fmt::format("line {}: {}", element.line, what);
}

absl::Status Error(const Element& element, std::string_view what) {
  return absl::InvalidArgumentError(
      Clause(element, fmt::format("<{}> {}", base::Excerpt(element.name), what)));
}

bool Is(const Element& element, std::string_view name) {
  return element.name == name && element.space.empty();
}

// The child of that name; nullptr: none. What is there twice would be read differently by
// different readers.
absl::StatusOr<const Element*> Child(const Element& parent, std::string_view name) {
  const Element* found = nullptr;
  for (const Element& child : parent.children) {
    if (!Is(child, name)) continue;
    if (found != nullptr) {
      return Error(child, fmt::format("is there already, in line {}", found->line));
    }
    found = &child;
  }
  return found;
}

// The same along a path of names, with nullptr where it ends early.
absl::StatusOr<const Element*> Descendant(const Element& root,
                                          std::initializer_list<std::string_view> path) {
  const Element* found = &root;
  for (const std::string_view name : path) {
    ASSIGN_OR_RETURN(found, Child(*found, name));
    if (found == nullptr) break;
  }
  return found;
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::string Attribute(const Element& element, std::string_view name) {
  const std::string* value = element.Find(name);
  return value == nullptr ? std::string() : *value;
}

// Bytes of a unit as virScaleInteger() takes them (src/util/virutil.c): of either case, "b",
// "byte", "bytes", a letter or one with "iB" for powers of 1024, with "B" for those of 1000.
// nullopt: no unit.
std::optional<std::uint64_t> BytesOfUnit(std::string_view unit) {
  constexpr std::string_view kPrefixes = "kmgtpe";
  std::string lower(unit);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower.empty()) return 1024;
  if (lower == "b" || lower == "byte" || lower == "bytes") return 1;
  const auto power = kPrefixes.find(lower.front());
  if (power == std::string_view::npos) return std::nullopt;
  const std::string_view rest = std::string_view(lower).substr(1);
  if (!rest.empty() && rest != "ib" && rest != "b") return std::nullopt;
  std::uint64_t bytes = 1;
  for (std::size_t i = 0; i <= power; ++i) bytes *= rest == "b" ? 1000 : 1024;
  return bytes;
}

// A size in bytes, in whole MiB.
absl::StatusOr<std::uint64_t> Size(const Element& element, std::string_view number,
                                   std::string_view unit) {
  const auto scale = BytesOfUnit(unit);
  if (!scale) return Error(element, fmt::format("has no unit \"{}\"", base::Excerpt(unit)));
  const auto count = base::ParseDecimal<std::uint64_t>(Trimmed(number));
  if (!count) {
    return Error(element, fmt::format("has a size \"{}\", which is no whole number",
                                      base::Excerpt(Trimmed(number))));
  }
  if (*count > kMostMemory / *scale) {
    return Error(element, fmt::format("has a size of more than {} bytes", kMostMemory));
  }
  return (*count * *scale + guest::kMib - 1) / guest::kMib * guest::kMib;
}

absl::StatusOr<std::uint64_t> SizeIn(const Element& element) {
  return Size(element, element.text, Attribute(element, "unit"));
}

// When a domain is defined, what the NUMA cells have stands for what <memory> says
// (virDomainDefPostParseMemory() in src/conf/domain_postparse.c, with
// VIR_DOMAIN_DEF_PARSE_ABI_UPDATE).
absl::Status ReadCells(const Element& root, Domain& domain) {
  ASSIGN_OR_RETURN(const Element* numa, Descendant(root, {"cpu", "numa"}));
  if (numa == nullptr) return absl::OkStatus();
  std::uint64_t sum = 0;
  for (const Element& cell : numa->children) {
    // One without memory, as KubeVirt makes for generic initiators.
    if (!Is(cell, "cell") || cell.Find("memory") == nullptr) continue;
    ASSIGN_OR_RETURN(const std::uint64_t size,
                     Size(cell, Attribute(cell, "memory"), Attribute(cell, "unit")));
    sum += size;
    if (sum > kMostMemory) {
      return Error(cell, fmt::format("ends a sum of more than {} bytes", kMostMemory));
    }
  }
  if (sum > 0) domain.ram = sum;
  return absl::OkStatus();
}

absl::Status ReadMemory(const Element& root, Domain& domain) {
  ASSIGN_OR_RETURN(const Element* memory, Child(root, "memory"));
  if (memory != nullptr) {
    ASSIGN_OR_RETURN(domain.ram, SizeIn(*memory));
  }
  RETURN_IF_ERROR(ReadCells(root, domain));
  if (domain.ram == 0) {
    return memory == nullptr ? Error(root, "has no <memory>") : Error(*memory, "is 0");
  }
  ASSIGN_OR_RETURN(const Element* most, Child(root, "maxMemory"));
  if (most == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(domain.max_ram, SizeIn(*most));
  if (domain.max_ram > 0 && domain.max_ram < domain.ram) {
    return Error(*most,
                 fmt::format("is less than the {} bytes that the guest starts with", domain.ram));
  }
  if (const std::string* slots = most->Find("slots")) {
    const auto number = base::ParseDecimal<std::uint32_t>(*slots);
    if (!number) {
      return Error(
          *most, fmt::format("has slots \"{}\", which is no whole number", base::Excerpt(*slots)));
    }
    domain.slots = *number;
  }
  return absl::OkStatus();
}

// As strtoul(3) with base 0, which virXMLPropUInt() uses: "0x1f", "31" or "037".
std::optional<std::uint64_t> ParseCNumber(std::string_view text) {
  if (text.size() < 2 || text.front() != '0' || text[1] == 'x' || text[1] == 'X') {
    return base::ParseNumber<std::uint64_t>(text);
  }
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '7' || value > std::numeric_limits<std::uint32_t>::max())
      return std::nullopt;
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

// A part of an address; 0 if it is not there, as libvirt has it (virPCIDeviceAddressParseXML() in
// src/conf/device_conf.c).
absl::StatusOr<std::uint32_t> Part(const Element& address, std::string_view name,
                                   std::uint32_t most) {
  const std::string* text = address.Find(name);
  if (text == nullptr) return 0;
  const auto value = ParseCNumber(*text);
  if (!value || *value > most) {
    return Error(address, fmt::format("has a {} \"{}\", which is no number up to {:#x}", name,
                                      base::Excerpt(*text), most));
  }
  return static_cast<std::uint32_t>(*value);
}

absl::StatusOr<core::PciAddress> SourceAddress(const Element& device) {
  ASSIGN_OR_RETURN(const Element* address, Descendant(device, {"source", "address"}));
  if (address == nullptr) return Error(device, "has no <source> with an <address>");
  ASSIGN_OR_RETURN(const std::uint32_t domain,
                   Part(*address, "domain", std::numeric_limits<std::uint32_t>::max()));
  ASSIGN_OR_RETURN(const std::uint32_t bus, Part(*address, "bus", 0xff));
  ASSIGN_OR_RETURN(const std::uint32_t slot, Part(*address, "slot", 0x1f));
  ASSIGN_OR_RETURN(const std::uint32_t function, Part(*address, "function", 7));
  return core::PciAddress{.domain = domain,
                          .bus = static_cast<std::uint8_t>(bus),
                          .slot = static_cast<std::uint8_t>(slot),
                          .function = static_cast<std::uint8_t>(function)};
}

absl::Status ReadHostDevice(const Element& device, Domain& domain) {
  const std::string* type = device.Find("type");
  if (type == nullptr) return Error(device, "has no type");
  if (*type != "pci") return absl::OkStatus();
  const std::string* mode = device.Find("mode");
  if (mode != nullptr && *mode != "subsystem") {
    return Error(device, fmt::format("of type pci has the mode \"{}\", and not \"subsystem\"",
                                     base::Excerpt(*mode)));
  }
  ASSIGN_OR_RETURN(const core::PciAddress address, SourceAddress(device));
  domain.devices.push_back(address);
  return absl::OkStatus();
}

// A function that libvirt passes through as a network interface.
absl::Status ReadInterface(const Element& device, Domain& domain) {
  if (Attribute(device, "type") != "hostdev") return absl::OkStatus();
  ASSIGN_OR_RETURN(const core::PciAddress address, SourceAddress(device));
  domain.devices.push_back(address);
  return absl::OkStatus();
}

absl::Status ReadController(const Element& device, Domain& domain) {
  ASSIGN_OR_RETURN(const Element* hole, Child(device, "pcihole64"));
  if (hole != nullptr) domain.unknown_pci.push_back(Clause(*hole, "<pcihole64>"));
  return absl::OkStatus();
}

absl::Status ReadDevices(const Element& root, Domain& domain) {
  ASSIGN_OR_RETURN(const Element* devices, Child(root, "devices"));
  if (devices == nullptr) return absl::OkStatus();
  for (const Element& device : devices->children) {
    if (Is(device, "hostdev")) {
      RETURN_IF_ERROR(ReadHostDevice(device, domain));
    } else if (Is(device, "interface")) {
      RETURN_IF_ERROR(ReadInterface(device, domain));
    } else if (Is(device, "controller")) {
      RETURN_IF_ERROR(ReadController(device, domain));
    } else if (Is(device, "memory")) {
      // How much of <memory> it is, and where it lies, depends on its model.
      domain.unknown_memory.push_back(Clause(device, "a <memory> among the devices"));
    } else if (Is(device, "iommu") && Attribute(device, "model") == "smmuv3") {
      domain.smmu = Clause(device, "<iommu model='smmuv3'>");
    }
  }
  return absl::OkStatus();
}

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Of the options of QEMU those that can move memory or give it a device. `value` is the word behind
// it, which may not belong to it.
void ReadOption(const Element& argument, std::string_view option, std::string_view value,
                Domain& domain) {
  // A machine, or what may be a property of one.
  constexpr std::array<std::string_view, 7> kMachine{"m",   "machine",    "M",   "global",
                                                     "set", "readconfig", "numa"};
  constexpr std::array<std::string_view, 3> kMemory{"dimm", "virtio-mem", "virtio-pmem"};
  const std::string clause = Clause(
      argument, fmt::format("qemu:arg \"-{} {}\"", base::Excerpt(option), base::Excerpt(value)));
  const bool is_device = option == "device";
  if (Contains(value, "smmuv3")) domain.smmu = clause;
  if (is_device && Contains(value, "vfio")) domain.unknown_devices.push_back(clause);
  if (std::find(kMachine.begin(), kMachine.end(), option) != kMachine.end() ||
      (is_device && std::any_of(kMemory.begin(), kMemory.end(), [value](std::string_view model) {
         return Contains(value, model);
       }))) {
    domain.unknown_memory.push_back(clause);
  }
}

// What goes to QEMU beside libvirt (https://libvirt.org/drvqemu.html,
// "Pass-through of arbitrary QEMU commands").
void ReadQemu(const Element& root, Domain& domain) {
  for (const Element& child : root.children) {
    if (child.space != kQemuSpace) continue;
    if (child.name == "override") {
      domain.unknown_memory.push_back(Clause(child, "qemu:override"));
    }
    if (child.name != "commandline") continue;
    std::vector<const Element*> arguments;
    for (const Element& argument : child.children) {
      if (argument.space == kQemuSpace && argument.name == "arg") arguments.push_back(&argument);
    }
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const std::string word = Attribute(*arguments[i], "value");
      // QEMU takes two dashes for one.
      std::string_view option = word;
      if (!option.starts_with('-')) continue;
      option.remove_prefix(option.starts_with("--") ? 2 : 1);
      ReadOption(*arguments[i], option,
                 i + 1 < arguments.size() ? Attribute(*arguments[i + 1], "value") : std::string(),
                 domain);
    }
  }
}

}  // namespace

// As qemuDomainMachineIsARMVirt() in src/qemu/qemu_domain.c.
bool Domain::is_virt() const {
  return arch == "aarch64" && (machine == "virt" || machine.starts_with("virt-"));
}

absl::StatusOr<Domain> ParseDomain(std::string_view xml) {
  ASSIGN_OR_RETURN(const Element root, ParseXml(xml));
  if (!Is(root, "domain")) {
    return Error(root, "is the root of the document, and not <domain>");
  }
  Domain domain;
  ASSIGN_OR_RETURN(const Element* name, Child(root, "name"));
  if (name != nullptr) domain.name = Trimmed(name->text);
  ASSIGN_OR_RETURN(const Element* type, Descendant(root, {"os", "type"}));
  if (type != nullptr) {
    domain.arch = Attribute(*type, "arch");
    domain.machine = Attribute(*type, "machine");
  }
  RETURN_IF_ERROR(ReadMemory(root, domain));
  RETURN_IF_ERROR(ReadDevices(root, domain));
  ReadQemu(root, domain);
  return domain;
}

guest::Layout LayoutOf(const Domain& domain) {
  return {.ram = domain.ram, .max_ram = domain.max_ram, .slots = domain.slots};
}

}  // namespace dp::domain
