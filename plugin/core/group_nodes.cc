// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/group_nodes.h"

#include <fmt/format.h>

namespace dp::core {

void CheckGroupNodes(std::span<Offer> offers, bool iommufd, const HasNode& has_node) {
  const bool lacks_iommufd = iommufd && !has_node("iommu");
  for (Offer& offer : offers) {
    if (offer.healthy() && lacks_iommufd) {
      offer.reason = base::Reason::kNoIommufd;
      offer.unhealthy_reason = "this host has no /dev/iommu (the kernel's CONFIG_IOMMUFD)";
    }
    if (!offer.healthy() || has_node(fmt::format("vfio/{}", offer.group))) continue;
    offer.reason = base::Reason::kNoDeviceNode;
    offer.unhealthy_reason = fmt::format("its device node /dev/vfio/{} is missing", offer.group);
    if (has_node("vfio/vfio")) continue;
    offer.unhealthy_reason +=
        ", and so is /dev/vfio/vfio: the kernel of this host has no VFIO, or its /dev/vfio is not "
        "seen here";
  }
}

}  // namespace dp::core
