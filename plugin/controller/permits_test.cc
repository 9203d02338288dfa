// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/permits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace dp::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

core::Selector Of(int vendor, int device = -1) {
  core::Selector selector;
  if (vendor >= 0) selector.vendor = static_cast<std::uint16_t>(vendor);
  if (device >= 0) selector.device = static_cast<std::uint16_t>(device);
  selector.line = 7;
  return selector;
}

core::Config With(std::vector<std::vector<core::Selector>> resources) {
  core::Config config;
  for (std::vector<core::Selector>& selectors : resources) {
    core::Resource resource;
    resource.name = "vendor.example/r" + std::to_string(config.resources.size());
    resource.selectors = std::move(selectors);
    resource.line = 5;
    config.resources.push_back(std::move(resource));
  }
  return config;
}

TEST(PermitsTest, WritesVendorAndDeviceAsKubeVirtDoes) {
  const Permits permits = PermitsOf(With({{Of(0x10de, 0x1eb8)}, {Of(0x1b36, 0x10)}}));
  EXPECT_THAT(permits.permits, ElementsAre(Permit{"10DE:1EB8", "vendor.example/r0"},
                                           Permit{"1B36:0010", "vendor.example/r1"}));
  EXPECT_THAT(permits.refused, IsEmpty());
  EXPECT_THAT(permits.warnings, IsEmpty());
}

TEST(PermitsTest, WritesAVendorWithAnyDevice) {
  EXPECT_THAT(PermitsOf(With({{Of(0x1b36)}})).permits,
              ElementsAre(Permit{"1B36:*", "vendor.example/r0"}));
}

TEST(PermitsTest, WritesSelectorsThatDifferElsewhereOnce) {
  core::Selector other = Of(0x1b36, 0x10);
  other.addresses = {"0000:3b:*"};
  EXPECT_THAT(PermitsOf(With({{Of(0x1b36, 0x10), other}})).permits, SizeIs(1));
}

TEST(PermitsTest, RefusesNvidiaWithoutADevice) {
  const Permits permits = PermitsOf(With({{Of(0x10de, 0x1eb8), Of(0x10de)}, {Of(0x1b36, 0x10)}}));
  EXPECT_THAT(permits.permits, ElementsAre(Permit{"1B36:0010", "vendor.example/r1"}));
  ASSERT_THAT(permits.refused, SizeIs(1));
  EXPECT_EQ(permits.refused[0].reason, "nvidia_any");
  EXPECT_EQ(permits.refused[0].resource, "vendor.example/r0");
  EXPECT_EQ(permits.refused[0].line, 7U);
}

TEST(PermitsTest, RefusesAResourceWithASelectorThatHasNoVendor) {
  const Permits permits = PermitsOf(With({{Of(0x1b36, 0x10), Of(-1)}}));
  EXPECT_THAT(permits.permits, IsEmpty());
  ASSERT_THAT(permits.refused, SizeIs(1));
  EXPECT_EQ(permits.refused[0].reason, "no_vendor");
}

TEST(PermitsTest, WarnsOfEachGraceGpu) {
  for (const int device : {0x2342, 0x2348, 0x2941}) {
    const Permits permits = PermitsOf(With({{Of(0x10de, device)}}));
    EXPECT_THAT(permits.permits, SizeIs(1));
    ASSERT_THAT(permits.warnings, SizeIs(1));
    EXPECT_EQ(permits.warnings[0].reason, "grace");
  }
}

TEST(PermitsTest, PutsAGraceGpuLastBecauseKubeVirtJudgesByTheLast) {
  const Permits permits = PermitsOf(With({{Of(0x10de, 0x2342), Of(0x10de, 0x1eb8)}}));
  EXPECT_THAT(permits.permits, ElementsAre(Permit{"10DE:1EB8", "vendor.example/r0"},
                                           Permit{"10DE:2342", "vendor.example/r0"}));
  ASSERT_THAT(permits.warnings, SizeIs(2));
  EXPECT_EQ(permits.warnings[1].reason, "grace_mixed");
}

}  // namespace
}  // namespace dp::controller
