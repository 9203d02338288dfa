// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/confinement.h"

#include <gtest/gtest.h>

namespace dp::os {
namespace {

TEST(ConfinementTest, IsWhatAppArmorOrSelinuxSay) {
  EXPECT_EQ(ParseConfinement("cri-containerd.apparmor.d (enforce)\n"),
            "cri-containerd.apparmor.d (enforce)");
  EXPECT_EQ(ParseConfinement(std::string_view("system_u:system_r:container_t:s0:c1,c2\0", 39)),
            "system_u:system_r:container_t:s0:c1,c2");
}

TEST(ConfinementTest, IsEmptyWithoutOne) {
  EXPECT_EQ(ParseConfinement("unconfined\n"), "");
  EXPECT_EQ(ParseConfinement(""), "");
}

}  // namespace
}  // namespace dp::os
