// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/mark.h"

#include <gtest/gtest.h>

#include <string>

namespace dp::controller {
namespace {

TEST(MarkTest, IsReadAsItIsWritten) {
  const Mark mark{.permits = {{"1B36:0010", "vendor.example/nvme"}, {"10DE:*", "a/b"}},
                  .feature_gate = true,
                  .made = {kConfiguration, kGates}};
  const auto read = ParseMark(FormatMark(mark));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, mark);
  EXPECT_TRUE(ParseMark(FormatMark({}))->empty());
}

TEST(MarkTest, IsWrittenAsDocumented) {
  EXPECT_EQ(FormatMark({.permits = {{"1B36:0010", "vendor.example/nvme"}},
                        .feature_gate = true,
                        .made = {kConfiguration}}),
            R"({"version":1,"pciHostDevices":[["1B36:0010","vendor.example/nvme"]],)"
            R"("featureGate":true,"made":["/spec/configuration"]})");
}

TEST(MarkTest, RefusesWhatItHasNotWritten) {
  for (const char* text :
       {"", "[]", "{}", R"({"version":2,"pciHostDevices":[],"featureGate":true,"made":[]})",
        R"({"version":1,"pciHostDevices":{},"featureGate":true,"made":[]})",
        R"({"version":1,"pciHostDevices":[["a"]],"featureGate":true,"made":[]})",
        R"({"version":1,"pciHostDevices":[["a",1]],"featureGate":true,"made":[]})",
        R"({"version":1,"pciHostDevices":[],"featureGate":1,"made":[]})",
        R"({"version":1,"pciHostDevices":[],"featureGate":true,"made":["/spec"]})",
        R"({"version":1,"pciHostDevices":[],"featureGate":true,"made":["no pointer"]})",
        R"({"version":1,"pciHostDevices":[],"featureGate":true})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseMark(text).status())) << text;
  }
}

}  // namespace
}  // namespace dp::controller
