// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/group_nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace dp::core {
namespace {

Offer Device(std::uint32_t group, std::string unhealthy_reason = "") {
  Offer offer;
  offer.id = "0000:0" + std::to_string(group) + ":00.0";
  offer.group = group;
  offer.unhealthy_reason = std::move(unhealthy_reason);
  return offer;
}

std::vector<Offer> Check(std::vector<Offer> offers, const std::set<std::string>& nodes,
                         bool iommufd = false) {
  CheckGroupNodes(offers, iommufd, [&](const std::string& path) { return nodes.contains(path); });
  return offers;
}

TEST(GroupNodesTest, NamesTheNodeThatIsMissing) {
  const std::vector<Offer> offers =
      Check({Device(1), Device(2), Device(3)}, {"vfio/vfio", "vfio/1", "vfio/3"});
  EXPECT_TRUE(offers[0].healthy());
  EXPECT_EQ(offers[1].unhealthy_reason, "its device node /dev/vfio/2 is missing");
  EXPECT_TRUE(offers[2].healthy());
}

TEST(GroupNodesTest, LeavesABetterReasonAlone) {
  const std::vector<Offer> offers = Check({Device(1, "it has no driver")}, {"vfio/vfio"});
  EXPECT_EQ(offers[0].unhealthy_reason, "it has no driver");
}

TEST(GroupNodesTest, MissesIommufdOnlyWhereItIsWanted) {
  constexpr char kReason[] = "this host has no /dev/iommu (the kernel's CONFIG_IOMMUFD)";
  const std::set<std::string> without{"vfio/vfio", "vfio/1"};
  EXPECT_EQ(Check({Device(1)}, without, true)[0].unhealthy_reason, kReason);
  EXPECT_TRUE(Check({Device(1)}, without)[0].healthy());
  EXPECT_TRUE(Check({Device(1)}, {"vfio/vfio", "vfio/1", "iommu"}, true)[0].healthy());
}

TEST(GroupNodesTest, SaysWhereThereIsNoVfioAtAll) {
  const Offer offer = Check({Device(2)}, {"null"})[0];
  EXPECT_EQ(offer.reason, base::Reason::kNoDeviceNode);
  EXPECT_EQ(offer.unhealthy_reason,
            "its device node /dev/vfio/2 is missing, and so is /dev/vfio/vfio: the kernel of this "
            "host has no VFIO, or its /dev/vfio is not seen here");
}

}  // namespace
}  // namespace dp::core
