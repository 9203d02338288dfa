// SPDX-License-Identifier: Apache-2.0
#include "plugin/guest/vmi.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace dp::guest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string WithDomain(std::string_view domain) {
  return fmt::format(R"({{"kind": "VirtualMachineInstance", "metadata": {{"name": "vm-a",
    "namespace": "default"}}, "spec": {{"domain": {}}}}})",
                     domain);
}

std::string MessageOf(std::string_view json) {
  return std::string(ParseVmi(json).status().message());
}

TEST(VmiTest, ReadsAnInstance) {
  const auto vmi = ParseVmi(WithDomain(R"({"memory": {"guest": "2Gi", "maxGuest": "4Gi"},
    "devices": {"hostDevices": [{"name": "a", "deviceName": "vendor.example/nvme"},
                                {"name": "b", "claimName": "claim"}],
                "gpus": [{"name": "c", "deviceName": "vendor.example/gpu"}]}})"));
  ASSERT_TRUE(vmi.ok()) << vmi.status();
  EXPECT_EQ(vmi->space, "default");
  EXPECT_EQ(vmi->name, "vm-a");
  EXPECT_EQ(vmi->ram, 2 * kGib);
  EXPECT_EQ(vmi->max_ram, 4 * kGib);
  EXPECT_THAT(vmi->resources, ElementsAre("vendor.example/nvme", "vendor.example/gpu"));
}

// As json.Marshal makes it of an object that came from client-go's cache.
TEST(VmiTest, ReadsAnInstanceWithoutItsKind) {
  const auto vmi = ParseVmi(R"({"metadata": {"name": "vm-a"},
    "spec": {"domain": {"memory": {"guest": "1Gi"}}}})");
  ASSERT_TRUE(vmi.ok()) << vmi.status();
  EXPECT_EQ(vmi->ram, kGib);
}

TEST(VmiTest, ReadsTheTemplateOfAMachine) {
  const auto vmi = ParseVmi(R"({"kind": "VirtualMachine", "spec": {"template": {"spec":
    {"domain": {"memory": {"guest": "1Gi"}}}}}})");
  ASSERT_TRUE(vmi.ok()) << vmi.status();
  EXPECT_EQ(vmi->ram, kGib);
}

TEST(VmiTest, ReadsTheArchitecture) {
  const auto vmi = ParseVmi(R"({"spec": {"architecture": "amd64",
    "domain": {"memory": {"guest": "1Gi"}}}})");
  ASSERT_TRUE(vmi.ok()) << vmi.status();
  EXPECT_EQ(vmi->architecture, "amd64");
}

TEST(VmiTest, SaysWhichFieldIsWrong) {
  std::string field;
  const auto vmi = ReadVmi({{"spec", {{"domain", {{"memory", {{"guest", "much"}}}}}}}}, field);
  EXPECT_EQ(vmi.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(field, "/spec/domain/memory/guest");
}

TEST(VmiTest, TakesRequestThenLimitWhereNoSizeIsGiven) {
  const auto ram = [](const char* guest, const char* request, const char* limit) {
    return ParseVmi(WithDomain(fmt::format(R"({{"memory": {{"guest": {}}},
      "resources": {{"requests": {{"memory": {}}}, "limits": {{"memory": {}}}}}}})",
                                           guest, request, limit)))
        ->ram;
  };
  EXPECT_EQ(ram("\"1Gi\"", "\"2Gi\"", "\"3Gi\""), kGib);
  EXPECT_EQ(ram("null", "\"2Gi\"", "\"3Gi\""), 2 * kGib);
  EXPECT_EQ(ram("null", "null", "\"3Gi\""), 3 * kGib);
  EXPECT_EQ(ram("null", "null", "3000000000"), 3000000000U);
}

TEST(VmiTest, LibvirtRoundsToWholeMebibytes) {
  Vmi vmi;
  vmi.ram = 1500000000;
  const Layout layout = LayoutOf(vmi);
  EXPECT_EQ(layout.ram, 1431 * kMib);
  EXPECT_EQ(layout.max_ram, 0U);
}

TEST(VmiTest, NamesTheFieldThatIsWrong) {
  EXPECT_EQ(MessageOf(WithDomain("{}")),
            "/spec/domain/memory/guest: is missing, and no memory is requested or limited");
  EXPECT_EQ(MessageOf(WithDomain(R"({"memory": {"guest": "-1Gi"}})")),
            "/spec/domain/memory/guest: \"-1Gi\" is no quantity above 0");
  EXPECT_EQ(MessageOf(WithDomain(R"({"memory": {"guest": []}})")),
            "/spec/domain/memory/guest: is no quantity of bytes");
  EXPECT_THAT(MessageOf(WithDomain(R"({"memory": {"guest": "2Gi", "maxGuest": "1Gi"}})")),
              HasSubstr("/spec/domain/memory/maxGuest: is less than"));
  EXPECT_EQ(MessageOf(WithDomain(R"({"memory": {"guest": "1Gi"}, "devices": {"gpus": 1}})")),
            "/spec/domain/devices/gpus: is no list");
  EXPECT_EQ(MessageOf(R"({"kind": "Pod"})"),
            "/kind: is neither VirtualMachineInstance nor VirtualMachine");
}

TEST(VmiTest, SurvivesAnyJson) {
  for (const char* text : {"", "null", "[]", "1", "\"\"", "{", R"({"kind": 1})",
                           "{\"kind\": 1e999}", R"({"kind": "VirtualMachine", "spec": []})",
                           R"({"kind": "VirtualMachineInstance", "spec": {"domain": 1}})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseVmi(text).status())) << text;
  }
  EXPECT_THAT(MessageOf(std::string(100000, '[')), HasSubstr("nested more than 64 deep"));
  EXPECT_THAT(MessageOf(std::string(5 << 20, ' ')), HasSubstr("more than 4194304"));
}

}  // namespace
}  // namespace dp::guest
