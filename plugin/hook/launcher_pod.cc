// SPDX-License-Identifier: Apache-2.0
#include "plugin/hook/launcher_pod.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace dp::hook {

bool IsLauncherOf(std::string_view space, std::string_view name, const core::PodName& pod) {
  constexpr std::size_t kLongestBase = 58;
  constexpr std::size_t kRandom = 5;
  std::string base = fmt::format("virt-launcher-{}-", name);
  base.resize(std::min(base.size(), kLongestBase));
  return pod.space == space && pod.name.size() == base.size() + kRandom &&
         pod.name.starts_with(base) && pod.name.find('-', base.size()) == std::string::npos;
}

}  // namespace dp::hook
