// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/offer_changes.h"

#include "plugin/base/log.h"

namespace dp::core {
namespace {

void LogNew(std::string_view resource, const Offer& offer) {
  if (!offer.healthy()) {
    LogUnhealthy(resource, offer);
    return;
  }
  log::Info("device new", {{"resource", resource}, {"device", offer.id}, {"group", offer.group}});
}

void LogChange(std::string_view resource, const Offer& before, const Offer& after) {
  if (before.unhealthy_reason == after.unhealthy_reason) return;
  if (!after.healthy()) {
    LogUnhealthy(resource, after);
    return;
  }
  log::Info("device healthy again", {{"resource", resource}, {"device", after.id}});
}

}  // namespace

void LogUnhealthy(std::string_view resource, const Offer& offer) {
  log::Warning("device unhealthy",
               {{"reason", offer.reason.value_or(base::Reason::kDeviceNotReady)},
                {"resource", resource},
                {"device", offer.id},
                {"error", offer.unhealthy_reason}});
}

void LogChanges(std::string_view resource, std::span<const Offer> before,
                std::span<const Offer> after) {
  auto old = before.begin();
  auto now = after.begin();
  while (old != before.end() || now != after.end()) {
    if (now == after.end() || (old != before.end() && IdBefore(old->id, now->id))) {
      log::Info(
          "device gone",
          {{"reason", base::Reason::kDeviceGone}, {"resource", resource}, {"device", old->id}});
      ++old;
    } else if (old == before.end() || IdBefore(now->id, old->id)) {
      LogNew(resource, *now);
      ++now;
    } else {
      LogChange(resource, *old, *now);
      ++old;
      ++now;
    }
  }
}

}  // namespace dp::core
