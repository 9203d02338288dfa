// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>

#include "plugin/core/offers.h"

namespace dp::core {

// Whether the host has a device node, by its path below /dev.
using HasNode = std::function<bool(const std::string&)>;

// Makes offers unhealthy that are healthy but for their groups' nodes, /dev/vfio/N, without which
// no container can be made. VFIO makes a node when the first member of a group gets a VFIO driver,
// and removes it when the last one loses it (vfio_device_set_group() and
// vfio_device_remove_group() in drivers/vfio/group.c), so one that is missing is about to come or
// go, or was removed by hand.
//
// So are those of a resource with `iommufd`, if there is no /dev/iommu.
//
// Where not even /dev/vfio/vfio is seen, which is there whenever VFIO is, the reason says so.
void CheckGroupNodes(std::span<Offer> offers, bool iommufd, const HasNode& has_node);

}  // namespace dp::core
