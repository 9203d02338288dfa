// SPDX-License-Identifier: Apache-2.0
#include "plugin/config/config_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "plugin/base/parse.h"
#include "plugin/config/config_keys.h"
#include "plugin/core/grant.h"
#include "plugin/core/pci_address.h"
#include "plugin/core/window.h"
#include "plugin/guest/memory_map.h"
#include "plugin/yaml/document.h"

// A configuration is read to its end even if something is wrong, so that its author sees every
// mistake at once. So the readers below do not return errors: they report them, and go on with what
// is left.
namespace dp::config {
namespace {

// Nested deeper than that is no configuration.
constexpr std::size_t kMostDepth = 16;

// Of a pool that leaves the proven range: an example of a guest that has something there.
std::string WhatIsThere(const core::Pool& pool) {
  constexpr std::uint64_t kGib = 255;
  const auto map = guest::MemoryMap({.ram = kGib * guest::kGib});
  const guest::Verdict verdict =
      guest::Judge({.base = pool.start, .size = pool.end - pool.start}, *map);
  if (verdict.judgement == guest::Judgement::kAccept)
    return "what else a VMM has there is not known";
  return fmt::format("with {} GiB of RAM in QEMU, {}", kGib, verdict.reason);
}

// Collects what is wrong.
class Report {
 public:
  explicit Report(std::string_view file_name) : file_name_(file_name) {}

  void Add(int line, std::string_view path, std::string_view reason) {
    constexpr std::size_t kMost = 20;
    if (mistakes_.size() == kMost) {
      is_cut_ = true;
      return;
    }
    std::string text =
        path.empty() ? fmt::format("{}", reason) : fmt::format("{}: {}", path, reason);
    // The author's text may have line breaks; an error has one line.
    std::replace_if(
        text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
    mistakes_.push_back({.line = line, .text = std::move(text)});
  }

  [[nodiscard]] bool empty() const { return mistakes_.empty(); }

  // In the order of the file.
  [[nodiscard]] absl::Status ToStatus() {
    std::stable_sort(mistakes_.begin(), mistakes_.end(),
                     [](const Mistake& a, const Mistake& b) { return a.line < b.line; });
    std::string lines;
    for (const Mistake& mistake : mistakes_) {
      if (!lines.empty()) lines += '\n';
      lines += fmt::format("{}:{}: {}", file_name_, mistake.line, mistake.text);
    }
    if (is_cut_) lines += "\nand more";
    return absl::InvalidArgumentError(lines);
  }

 private:
  struct Mistake {
    int line = 0;
    std::string text;
  };

  std::string file_name_;
  std::vector<Mistake> mistakes_;
  bool is_cut_ = false;
};

// A value of the document and what its author calls it.
struct Value {
  const yaml::Element& node;
  std::string path;
};

std::string_view KindName(yaml::Element::Kind kind) {
  switch (kind) {
    case yaml::Element::Kind::kNull:
      return "empty";
    case yaml::Element::Kind::kScalar:
      return "a single value";
    case yaml::Element::Kind::kList:
      return "a list";
    case yaml::Element::Kind::kMapping:
      return "a mapping";
  }
  return "";
}

class Reader {
 public:
  explicit Reader(Report& report) : report_(report) {}

  core::Config ReadConfig(const yaml::Element& root) {
    core::Config config;
    const Value document{.node = root, .path = ""};
    if (!IsMapping(document, kConfigKeys)) return config;
    if (const auto version = Required(document, "version")) ReadVersion(*version);
    if (const auto mode = Optional(document, "mode")) ReadMode(*mode, config.mode);
    if (const auto window = Optional(document, "window")) ReadWindow(*window, config.pool);
    if (const auto resources = Required(document, "resources"))
      ReadResources(*resources, config.resources);
    if (config.mode == core::Mode::kObserve) {
      for (const Value& bind : binds_)
        Fail(bind, "cannot be true in mode observe, which changes nothing on the host");
    }
    return config;
  }

 private:
  void Fail(const Value& value, std::string_view reason) {
    report_.Add(value.node.line, value.path, reason);
  }

  // --- the shape of the document

  bool IsOfKind(const Value& value, yaml::Element::Kind kind, std::string_view expected) {
    if (value.node.kind == kind) return true;
    Fail(value, fmt::format("is {}, not {}", KindName(value.node.kind), expected));
    return false;
  }

  bool IsMapping(const Value& value, std::span<const std::string_view> known_keys) {
    if (!IsOfKind(value, yaml::Element::Kind::kMapping, "a mapping")) return false;
    for (const yaml::Element::Entry& entry : value.node.entries) {
      if (std::find(known_keys.begin(), known_keys.end(), entry.key) == known_keys.end()) {
        report_.Add(entry.line, PathOf(value, entry.key),
                    fmt::format("is not a known key, which are: {}", fmt::join(known_keys, ", ")));
      }
    }
    return true;
  }

  static std::string PathOf(const Value& parent, std::string_view key) {
    return parent.path.empty() ? std::string(key) : fmt::format("{}.{}", parent.path, key);
  }

  static std::optional<Value> Optional(const Value& parent, std::string_view key) {
    const yaml::Element* const node = parent.node.Find(key);
    return node == nullptr ? std::nullopt : std::optional<Value>({*node, PathOf(parent, key)});
  }

  std::optional<Value> Required(const Value& parent, std::string_view key) {
    std::optional<Value> value = Optional(parent, key);
    if (!value) report_.Add(parent.node.line, PathOf(parent, key), "is missing");
    return value;
  }

  // The elements of a list that may not be empty.
  std::vector<Value> Elements(const Value& list) {
    std::vector<Value> elements;
    if (!IsOfKind(list, yaml::Element::Kind::kList, "a list")) return elements;
    if (list.node.items.empty()) Fail(list, "is an empty list");
    for (const yaml::Element& item : list.node.items) {
      elements.push_back({item, fmt::format("{}[{}]", list.path, elements.size())});
    }
    return elements;
  }

  // The text of a scalar; `expected` says what it should be.
  std::optional<std::string_view> Text(const Value& value, std::string_view expected) {
    if (!IsOfKind(value, yaml::Element::Kind::kScalar, expected)) return std::nullopt;
    return value.node.text;
  }

  void FailText(const Value& value, std::string_view expected) {
    constexpr std::size_t kLongest = 60;
    const std::string_view text = value.node.text;
    Fail(value, fmt::format("\"{}{}\" is not {}", text.substr(0, kLongest),
                            text.size() > kLongest ? "..." : "", expected));
  }

  // --- single values

  void ReadVersion(const Value& value) {
    constexpr std::string_view kExpected = "v1, the only version";
    if (const auto text = Text(value, kExpected); text && *text != "v1") FailText(value, kExpected);
  }

  void ReadMode(const Value& value, core::Mode& mode) {
    constexpr std::string_view kExpected = "enforce or observe";
    const auto text = Text(value, kExpected);
    if (!text) return;
    if (*text == "enforce") {
      mode = core::Mode::kEnforce;
    } else if (*text == "observe") {
      mode = core::Mode::kObserve;
    } else {
      FailText(value, kExpected);
    }
  }

  bool ReadBool(const Value& value) {
    constexpr std::string_view kExpected = "true or false";
    const auto text = Text(value, kExpected);
    if (text && *text != "true" && *text != "false") FailText(value, kExpected);
    return text == "true";
  }

  // Bytes: "0x100000", "1048576" or "1Mi".
  std::optional<std::uint64_t> ReadBytes(const Value& value) {
    constexpr std::string_view kExpected = "a number of bytes such as 0x100000, 1048576 or 1Mi";
    static constexpr std::array<std::pair<std::string_view, unsigned>, 3> kUnits{
        {{"Ki", 10}, {"Mi", 20}, {"Gi", 30}}};
    auto text = Text(value, kExpected);
    if (!text) return std::nullopt;
    unsigned shift = 0;
    for (const auto& [unit, bits] : kUnits) {
      if (text->ends_with(unit)) {
        shift = bits;
        text->remove_suffix(unit.size());
        break;
      }
    }
    const auto number = shift == 0 ? base::ParseNumber<std::uint64_t>(*text)
                                   : base::ParseDecimal<std::uint64_t>(*text);
    if (!number || *number > std::numeric_limits<std::uint64_t>::max() >> shift) {
      FailText(value, kExpected);
      return std::nullopt;
    }
    return *number << shift;
  }

  // `digits` hexadecimal digits, with or without 0x. As text, YAML's idea of 1e10 or 0010 does not
  // matter.
  std::optional<std::uint32_t> ReadHex(const Value& value,
                                       std::span<const std::size_t> digit_counts,
                                       std::string_view expected, std::size_t& digits) {
    const auto text = Text(value, expected);
    if (!text) return std::nullopt;
    digits = text->size() - (text->starts_with("0x") || text->starts_with("0X") ? 2 : 0);
    const auto number = base::ParseHex<std::uint32_t>(*text);
    if (!number ||
        std::find(digit_counts.begin(), digit_counts.end(), digits) == digit_counts.end()) {
      FailText(value, expected);
      return std::nullopt;
    }
    return number;
  }

  std::optional<std::uint16_t> ReadPciId(const Value& value) {
    static constexpr std::array<std::size_t, 1> kDigits{4};
    std::size_t digits = 0;
    const auto id = ReadHex(value, kDigits, "a PCI ID of four hexadecimal digits", digits);
    return id ? std::optional(static_cast<std::uint16_t>(*id)) : std::nullopt;
  }

  // --- window

  void ReadWindow(const Value& window, core::Pool& pool) {
    if (!IsMapping(window, kWindowKeys)) return;
    bool sound = true;
    const auto read = [&](const Value& value, std::uint64_t& bytes) {
      const auto number = ReadBytes(value);
      if (number && *number % core::kWindowGranule != 0) {
        FailText(value, fmt::format("a multiple of {:#x} (1 MiB), the kernel's unit",
                                    core::kWindowGranule));
      }
      sound = sound && number && *number % core::kWindowGranule == 0;
      if (number) bytes = *number;
    };
    const auto pool_value = Optional(window, "pool");
    if (pool_value && IsMapping(*pool_value, kPoolKeys)) {
      if (const auto start = Required(*pool_value, "start")) read(*start, pool.start);
      if (const auto end = Required(*pool_value, "end")) read(*end, pool.end);
    }
    const auto size_value = Optional(window, "size");
    if (size_value) read(*size_value, pool.window_size);
    const auto unproven_value = Optional(window, "allowUnproven");
    const bool allow_unproven = unproven_value && ReadBool(*unproven_value);
    if (!sound) return;

    CheckPool(pool_value.value_or(window), pool, allow_unproven);
    if (pool.start < pool.end) CheckSize(size_value.value_or(pool_value.value_or(window)), pool);
  }

  void CheckPool(const Value& at, const core::Pool& pool, bool allow_unproven) {
    const std::string range = fmt::format("[{:#x}, {:#x})", pool.start, pool.end);
    constexpr std::uint64_t kFixedEnd = core::kFixedWindow.base + core::kFixedWindow.size;
    if (pool.start >= pool.end) {
      Fail(at, fmt::format("{} is empty: start must be below end", range));
    } else if (pool.start == 0) {
      Fail(at, fmt::format("{} begins at 0, where the kernel allows no window", range));
    } else if (pool.start < kFixedEnd && pool.end > core::kFixedWindow.base) {
      // A group in its default window would look as if it had been given one of the pool.
      Fail(at, fmt::format("{} overlaps the kernel's default window [{:#x}, {:#x})", range,
                           core::kFixedWindow.base, kFixedEnd));
    } else if (!allow_unproven &&
               (pool.start < guest::kProvenStart || pool.end > guest::kProvenEnd)) {
      Fail(at,
           fmt::format("{} leaves {}, the only range known to be free in every virtual machine: "
                       "{}; window.allowUnproven: true lifts this",
                       range, guest::FormatRange(guest::kProvenStart, guest::kProvenEnd),
                       WhatIsThere(pool)));
    }
  }

  void CheckSize(const Value& at, const core::Pool& pool) {
    constexpr std::uint64_t kMostWindows = 65536;
    if (pool.window_size == 0) {
      Fail(at, "is 0");
    } else if (pool.window_size > pool.end - pool.start) {
      Fail(at, fmt::format("a window of {:#x} bytes does not fit into the pool [{:#x}, {:#x})",
                           pool.window_size, pool.start, pool.end));
    } else if ((pool.end - pool.start) / pool.window_size > kMostWindows) {
      Fail(at, fmt::format("the pool holds more than {} windows", kMostWindows));
    }
  }

  // --- resources

  void ReadResources(const Value& list, std::vector<core::Resource>& resources) {
    std::map<std::string, std::pair<std::string, int>> variables;  // -> resource and line
    for (const Value& element : Elements(list)) {
      core::Resource& resource = resources.emplace_back();
      resource.line = element.node.line;
      if (!IsMapping(element, kResourceKeys)) continue;
      const auto name = Required(element, "name");
      const bool is_named = name && ReadResourceName(*name, resource.name);
      if (const auto selectors = Required(element, "selectors")) {
        for (const Value& selector : Elements(*selectors)) {
          resource.selectors.push_back(ReadSelector(selector));
        }
      }
      if (const auto observe = Optional(element, "observe")) resource.observe = ReadBool(*observe);
      if (const auto iommufd = Optional(element, "iommufd")) resource.iommufd = ReadBool(*iommufd);
      const auto cdi = Optional(element, "cdi");
      if (cdi) resource.cdi = ReadBool(*cdi);
      if (!is_named) continue;
      if (resource.cdi && !MakesACdiKind(resource.name)) {
        Fail(*cdi,
             fmt::format("needs a letter first on both sides of the slash in {}, as CDI names "
                         "no devices otherwise",
                         resource.name));
      }
      const auto [known, is_new] = variables.try_emplace(core::VariableSuffix(resource.name),
                                                         resource.name, name->node.line);
      if (is_new) continue;
      const auto& [other, line] = known->second;
      Fail(*name,
           other == resource.name
               ? fmt::format("{} is already the resource of line {}", resource.name, line)
               : fmt::format(
                     "{} gives the same environment variable PCI_RESOURCE_{} as {} of line {}",
                     resource.name, known->first, other, line));
    }
  }

  bool ReadResourceName(const Value& value, std::string& name) {
    const auto text = Text(value, "a resource name");
    if (!text) return false;
    name = *text;
    const std::string reason = WrongWithResourceName(name);
    if (!reason.empty()) Fail(value, fmt::format("\"{}\" {}", name.substr(0, 320), reason));
    return reason.empty();
  }

  // A sound name of a resource is a kind of CDI device but for that
  // (tags.cncf.io/container-device-interface, pkg/parser: ValidateVendorName, ValidateClassName).
  static bool MakesACdiKind(std::string_view name) {
    const auto is_letter = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
    return is_letter(name.front()) && is_letter(name[name.find('/') + 1]);
  }

  // Extended resources, as the kubelet accepts them (IsExtendedResourceName in
  // k8s.io/kubernetes/pkg/apis/core/v1/helper): a DNS subdomain, a slash, a qualified name. Empty:
  // nothing is wrong.
  static std::string WrongWithResourceName(std::string_view name) {
    constexpr std::size_t kLongestDomain = 253;
    constexpr std::size_t kLongestName = 63;
    const std::size_t slash = name.find('/');
    if (slash == std::string_view::npos)
      return "has no domain: it must be like vendor.example/nvme";
    const std::string_view domain = name.substr(0, slash);
    const std::string_view rest = name.substr(slash + 1);
    if (name.find('-') != std::string_view::npos) {
      return "has a hyphen, which would end up in the name of an environment variable that "
             "KubeVirt reads and many programs "
             "cannot";
    }
    const auto is_lower = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    const auto is_alphanumeric = [&](char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); };
    const bool domain_is_sound =
        !domain.empty() && domain.size() <= kLongestDomain && domain.front() != '.' &&
        domain.back() != '.' && domain.find("..") == std::string_view::npos &&
        std::all_of(domain.begin(), domain.end(), [&](char c) { return is_lower(c) || c == '.'; });
    if (!domain_is_sound) {
      return "has no valid domain before the slash: lower-case letters, digits and dots, at most "
             "253 of them";
    }
    if (domain.ends_with("kubernetes.io") || domain.starts_with("requests.")) {
      return "has a domain that Kubernetes keeps for itself";
    }
    const bool rest_is_sound = !rest.empty() && rest.size() <= kLongestName &&
                               is_alphanumeric(rest.front()) && is_alphanumeric(rest.back()) &&
                               std::all_of(rest.begin(), rest.end(), [&](char c) {
                                 return is_alphanumeric(c) || c == '.' || c == '_';
                               });
    if (!rest_is_sound) {
      return "has no valid name behind the slash: letters, digits, dots and underscores, at most "
             "63 of them, beginning and "
             "ending with a letter or digit";
    }
    return "";
  }

  core::Selector ReadSelector(const Value& element) {
    core::Selector selector;
    selector.line = element.node.line;
    if (!IsMapping(element, kSelectorKeys)) return selector;
    const yaml::Element* const bind = element.node.Find("bind");
    if (element.node.entries.size() == (bind == nullptr ? 0 : 1)) {
      Fail(element, bind == nullptr ? "is empty and would match every device"
                                    : "has no field but bind and would match every device");
    }
    if (const auto value = Optional(element, "vendor")) selector.vendor = ReadPciId(*value);
    if (const auto value = Optional(element, "device")) selector.device = ReadPciId(*value);
    if (const auto value = Optional(element, "subsystemVendor"))
      selector.subsystem_vendor = ReadPciId(*value);
    if (const auto value = Optional(element, "subsystemDevice"))
      selector.subsystem_device = ReadPciId(*value);
    if (const auto value = Optional(element, "class")) ReadClass(*value, selector);
    if (const auto value = Optional(element, "driver")) ReadDriver(*value, selector);
    if (const auto value = Optional(element, "numaNode")) ReadNumaNode(*value, selector);
    if (const auto value = Optional(element, "addresses")) {
      for (const Value& glob : Elements(*value)) ReadAddressGlob(glob, selector);
    }
    if (const auto value = Optional(element, "bind")) ReadBind(*value, selector);
    return selector;
  }

  void ReadBind(const Value& value, core::Selector& selector) {
    selector.bind = ReadBool(value);
    if (!selector.bind) return;
    binds_.push_back(value);
    if (selector.driver) {
      Fail(value,
           "cannot be true beside driver, which would not match any more once vfio-pci is bound");
    }
  }

  void ReadClass(const Value& value, core::Selector& selector) {
    static constexpr std::array<std::size_t, 3> kDigits{2, 4, 6};
    std::size_t digits = 0;
    selector.class_prefix = ReadHex(
        value, kDigits,
        "a PCI class of two, four or six hexadecimal digits: base class, subclass, interface",
        digits);
    if (selector.class_prefix) selector.class_bytes = static_cast<int>(digits / 2);
  }

  void ReadDriver(const Value& value, core::Selector& selector) {
    constexpr std::string_view kExpected = "the name of a kernel driver";
    const auto text = Text(value, kExpected);
    if (!text) return;
    const bool sound = !text->empty() && std::all_of(text->begin(), text->end(), [](char c) {
      return c > ' ' && c <= '~' && c != '/';
    });
    if (!sound) return FailText(value, kExpected);
    selector.driver = *text;
  }

  void ReadNumaNode(const Value& value, core::Selector& selector) {
    constexpr std::uint32_t kLargest = 1023;  // CONFIG_NODES_SHIFT is at most 10
    constexpr std::string_view kExpected = "a NUMA node, 0 to 1023";
    const auto text = Text(value, kExpected);
    if (!text) return;
    const auto node = base::ParseDecimal<std::uint32_t>(*text);
    if (!node || *node > kLargest) return FailText(value, kExpected);
    selector.numa_node = static_cast<int>(*node);
  }

  // A glob that can match no address is a mistake that would show only as a missing device.
  void ReadAddressGlob(const Value& value, core::Selector& selector) {
    constexpr std::string_view kExpected =
        "a PCI address such as 0000:01:00.0, or a pattern such as 0000:01:00.*";
    const auto text = Text(value, kExpected);
    if (!text) return;
    const std::size_t wildcard = text->find_first_of("*?[");
    const std::size_t colon = text->find(':');
    const bool has_short_domain = colon < wildcard && colon < 4;
    const bool has_strange_character =
        text->find_first_not_of("0123456789abcdef:.*?[]!-") != std::string_view::npos;
    const bool is_plain = wildcard == std::string_view::npos;
    if (text->empty() || has_strange_character || has_short_domain ||
        (is_plain && !core::ParsePciAddress(*text).ok())) {
      return FailText(value, kExpected);
    }
    selector.addresses.emplace_back(*text);
  }

  Report& report_;
  std::vector<Value> binds_;  // that are true
};

}  // namespace

absl::StatusOr<core::Config> ParseConfig(std::string_view text, std::string_view file_name) {
  Report report(file_name);
  yaml::Element root;
  root.line = 1;
  if (const std::optional<yaml::Error> error = yaml::Parse(text, kMostDepth, root)) {
    report.Add(error->line, error->path, error->reason);
    return report.ToStatus();
  }
  core::Config config = Reader(report).ReadConfig(root);
  if (!report.empty()) return report.ToStatus();
  return config;
}

}  // namespace dp::config
