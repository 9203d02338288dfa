// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/config_change.h"

#include <algorithm>
#include <utility>

namespace dp::core {
namespace {

bool IsServed(const Resource& resource) { return !resource.selectors.empty(); }

}  // namespace

ConfigChange PlanChange(const Config& current, Config next) {
  ConfigChange change;
  std::vector<Resource> wanted = std::exchange(next.resources, {});
  change.config = std::move(next);
  for (std::size_t place = 0; place < current.resources.size(); ++place) {
    const Resource& former = current.resources[place];
    const auto same = std::find_if(wanted.begin(), wanted.end(), [&](const Resource& resource) {
      return resource.name == former.name;
    });
    if (same == wanted.end()) {
      if (IsServed(former)) change.removed.push_back(place);
      Resource& gap = change.config.resources.emplace_back();
      gap.name = former.name;
      continue;
    }
    if (!IsServed(former)) change.added.push_back(place);
    change.config.resources.push_back(std::move(*same));
    wanted.erase(same);
  }
  for (Resource& resource : wanted) {
    change.added.push_back(change.config.resources.size());
    change.config.resources.push_back(std::move(resource));
  }
  return change;
}

}  // namespace dp::core
