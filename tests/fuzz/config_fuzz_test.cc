// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "plugin/config/config_parser.h"
#include "plugin/core/grant.h"
#include "plugin/core/pci_address.h"
#include "plugin/core/window.h"
#include "plugin/core/window_pool.h"
#include "tests/fuzz/require.h"

// Input: the text of a configuration file.
namespace dp::fuzz {
namespace {

constexpr std::string_view kFile = "fuzz.yaml";

// "FILE:LINE: ..." with a line of the text, or the one behind its last.
void RequirePlace(std::string_view message, std::size_t lines) {
  const bool names_file = message.starts_with(kFile) && message.substr(kFile.size(), 1) == ":";
  Require(names_file, "a mistake names the file", message);
  message.remove_prefix(kFile.size() + 1);
  std::size_t line = 0;
  while (!message.empty() && message.front() >= '0' && message.front() <= '9' && line <= lines) {
    line = line * 10 + static_cast<std::size_t>(message.front() - '0');
    message.remove_prefix(1);
  }
  Require(line >= 1 && line <= lines + 1, "a mistake names a line of the file", message);
  Require(message.starts_with(": ") && message.size() > 2, "a mistake has a reason", message);
}

void RequireSoundError(const absl::Status& status, std::string_view text) {
  constexpr std::size_t kMostMistakes = 20;
  Require(absl::IsInvalidArgument(status), "an error is InvalidArgument", status.ToString());
  // yaml-cpp ends a line at a carriage return, too.
  const auto lines = static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }));
  const std::string message(status.message());
  std::string_view rest = message;
  for (std::size_t mistakes = 0; !rest.empty(); ++mistakes) {
    const std::string_view mistake = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), mistake.size() + 1));
    RequireOneLine(mistake);
    if (mistakes == kMostMistakes) {
      Require(mistake == "and more" && rest.empty(), "at most 20 mistakes are listed", message);
    } else {
      RequirePlace(mistake, lines + 1);
    }
  }
  Require(!message.empty(), "an error has a message");
}

void RequireSoundPool(const core::Pool& pool) {
  const std::string text = fmt::format("{:#x} {:#x} {:#x}", pool.start, pool.end, pool.window_size);
  Require(pool.start % core::kWindowGranule == 0 && pool.end % core::kWindowGranule == 0 &&
              pool.window_size % core::kWindowGranule == 0,
          "a pool is on the kernel's grid", text);
  Require(pool.start > 0 && pool.start < pool.end, "a pool is not empty", text);
  Require(pool.window_size > 0 && pool.window_size <= pool.end - pool.start, "a window fits", text);
  core::WindowPool windows(pool);
  Require(windows.size() > 0 && windows.size() <= 65536, "a pool has a sane number of windows",
          text);
  Require(!windows.Overlaps(core::kFixedWindow), "a pool is apart from the default window", text);
  const std::optional<core::Window> first = windows.Take();
  Require(first && first->base == pool.start && first->size == pool.window_size,
          "the first window begins the pool", text);
}

void RequireSoundSelector(const core::Selector& selector) {
  Require(selector.line > 0, "a selector has a line");
  Require(selector.vendor || selector.device || selector.subsystem_vendor ||
              selector.subsystem_device || selector.class_prefix || selector.driver ||
              !selector.addresses.empty() || selector.numa_node,
          "a selector selects");
  Require(selector.class_prefix.has_value() == (selector.class_bytes != 0),
          "a class has a number of bytes");
  if (selector.class_prefix) {
    Require(selector.class_bytes >= 1 && selector.class_bytes <= 3 &&
                *selector.class_prefix >> (8 * selector.class_bytes) == 0,
            "a class is as long as it says", fmt::format("{:x}", *selector.class_prefix));
  }
  if (selector.driver) {
    RequireOneLine(*selector.driver);
    Require(selector.driver->find('/') == std::string::npos, "a driver is no path",
            *selector.driver);
  }
  for (const std::string& address : selector.addresses) {
    RequireOneLine(address);
    Require(
        address.find_first_of("*?[") != std::string::npos || core::ParsePciAddress(address).ok(),
        "an address without wildcards is one", address);
  }
  Require(!selector.numa_node || (*selector.numa_node >= 0 && *selector.numa_node < 1024),
          "a node is one");
}

void RequireSound(const core::Config& config) {
  RequireSoundPool(config.pool);
  Require(!config.resources.empty(), "there are resources");
  std::set<std::string> variables;
  for (const core::Resource& resource : config.resources) {
    Require(resource.line > 0, "a resource has a line");
    const std::size_t slash = resource.name.find('/');
    Require(slash != std::string::npos && slash > 0 && slash <= 253 &&
                resource.name.size() - slash - 1 <= 63 && resource.name.size() > slash + 1,
            "a resource has a domain and a name", resource.name);
    const std::string variable = core::VariableSuffix(resource.name);
    for (const char c : variable) {
      Require((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_',
              "a resource makes the name of a variable", variable);
    }
    Require(variables.insert(variable).second, "no two resources share a variable", variable);
    Require(!resource.selectors.empty(), "a resource has selectors", resource.name);
    for (const core::Selector& selector : resource.selectors) RequireSoundSelector(selector);
  }
}

}  // namespace
}  // namespace dp::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = dp::config::ParseConfig(text, dp::fuzz::kFile);
  if (config.ok()) {
    dp::fuzz::RequireSound(*config);
  } else {
    dp::fuzz::RequireSoundError(config.status(), text);
  }
  return 0;
}
