// SPDX-License-Identifier: Apache-2.0
#include "plugin/hook/launcher_pod.h"

#include <gtest/gtest.h>

#include <string>

namespace dp::hook {
namespace {

bool IsOf(const std::string& vm, const std::string& pod) {
  return IsLauncherOf("default", vm, {.space = "default", .name = pod});
}

TEST(LauncherPodTest, HasTheNameOfItsMachine) {
  EXPECT_TRUE(IsOf("vm-a", "virt-launcher-vm-a-x7k2p"));
  EXPECT_FALSE(IsOf("vm", "virt-launcher-vm-a-x7k2p")) << "of another VM";
  EXPECT_FALSE(IsOf("vm-a", "virt-launcher-vm-a-b-x7k2p"));
  EXPECT_FALSE(IsOf("vm", "virt-launcher-vm-a7k2")) << "four characters and a hyphen";
  EXPECT_FALSE(IsOf("vm-a", "vm-a-x7k2p"));
  EXPECT_FALSE(IsOf("", ""));
  EXPECT_FALSE(
      IsLauncherOf("other", "vm-a", {.space = "default", .name = "virt-launcher-vm-a-x7k2p"}));
}

TEST(LauncherPodTest, IsCutToWhatAPodMayBeCalled) {
  const std::string vm(60, 'a');
  const std::string base = ("virt-launcher-" + vm).substr(0, 58);
  EXPECT_TRUE(IsOf(vm, base + "x7k2p"));
  EXPECT_FALSE(IsOf(vm, "virt-launcher-" + vm + "-x7k2p"));
  EXPECT_TRUE(IsOf(vm + "b", base + "x7k2p")) << "it cannot be told";
}

}  // namespace
}  // namespace dp::hook
