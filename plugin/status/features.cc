// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/features.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "plugin/os/file.h"
#include "plugin/status/words.h"

namespace dp::status {
namespace {

constexpr mode_t kReadableByAll = 0644;

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

std::string_view KnobOf(const Daemon& daemon) {
  if (daemon.groups_with_knob == 0) return "false";
  return daemon.groups_without_knob == 0 ? "true" : "some";
}

}  // namespace

std::string FeatureFile(const NodeState& state) {
  std::string text = "# by vfio-doorbell-monitor\n";
  const auto add = [&](std::string_view name, const auto& value) {
    text += fmt::format("vfio-doorbell.io/{}={}\n", name, value);
  };
  add("knob", KnobOf(state.daemon));
  add("mode", Lower(NameOf(state.daemon.mode)));
  if (state.pool.windows > 0) {
    add("window-size", fmt::format("{:#010x}", state.pool.window_size));
    add("pool-start", fmt::format("{:#010x}", state.pool.start));
    add("pool-end", fmt::format("{:#010x}", state.pool.end));
    add("pool-windows", state.pool.windows);
  }
  add("iommufd", std::any_of(state.resources.begin(), state.resources.end(),
                             [](const Resource& resource) { return resource.iommufd; }));
  return text;
}

absl::Status WriteFeatureFile(const std::string& path, const std::string& content) {
  const std::size_t name = path.rfind('/') + 1;
  return os::ReplaceFile(path, path.substr(0, name) + "." + path.substr(name) + ".new", content,
                         kReadableByAll);
}

}  // namespace dp::status
