// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/whois.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/fakes/some_node.h"

namespace dp::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

core::Inventory SomeHost() {
  core::Inventory host;
  for (const std::uint32_t number : {1U, 2U, 3U}) {
    core::Group& group = host.groups.emplace_back();
    group.number = number;
    group.window = core::kFixedWindow;
    group.functions.emplace_back().name = "0000:0" + std::to_string(number) + ":00.0";
  }
  return host;
}

Answer Ask(std::string_view text, Format format = Format::kTable) {
  return ShowWhois(text, fakes::SomeNode(), SomeHost(), {.format = format});
}

TEST(WhoisTest, NamesWindowDeviceGroupAndPod) {
  const Answer answer = Ask("0x9100040");
  EXPECT_EQ(answer.exit_code, kExitOk);
  EXPECT_EQ(answer.text,
            "0x9100040 is in the window 0x09100000 0x00100000\n"
            "  of device 0000:01:00.0, IOMMU group 1, pod default/vm-1\n");
}

TEST(WhoisTest, NamesWhoHasSentIt) {
  EXPECT_THAT(Ask("event: F_TRANSLATION client: 0000:01:00.0 sid: 0x100 ssid: 0x0 iova: 0x9100040 "
                  "ipa: 0x0")
                  .text,
              HasSubstr("\n  sent by 0000:01:00.0, IOMMU group 1\n"));
  EXPECT_THAT(Ask("event 0x10 received:\n0x0000010000000010\n0x0\n").text,
              HasSubstr("sent by stream 0x100, which is 0000:01:00.0 (IOMMU group 1) if"));
}

TEST(WhoisTest, SaysThatTheKernelHasAnotherWindow) {
  EXPECT_THAT(Ask("0x09200040").text,
              HasSubstr("the kernel has another window for it, 0x08000000+0x100000"));
}

TEST(WhoisTest, SaysWhyItIsNotOurs) {
  const auto sentence = [](std::string_view text) {
    const Answer answer = Ask(text);
    EXPECT_EQ(answer.exit_code, kExitNo) << text;
    EXPECT_THAT(answer.text, StartsWith("not ours: "));
    return answer.text;
  };
  EXPECT_THAT(sentence("0x8000040"), HasSubstr("in the default window, 0x08000000 0x00100000"));
  EXPECT_THAT(sentence("0x8000040"), HasSubstr("3 groups have it"));
  EXPECT_THAT(sentence("0x9a00000"), HasSubstr("in the pool, and nobody has that window"));
  EXPECT_THAT(sentence("0x80000000"), HasSubstr("it may be memory of a guest"));
  EXPECT_THAT(sentence("hello\n"), HasSubstr("there is no I/O address in \"hello?\""));
  EXPECT_THAT(sentence("event: C_BAD_STE client: 0000:01:00.0 sid: 0x100 ssid: 0x0"),
              HasSubstr("C_BAD_STE has no I/O address"));
}

TEST(WhoisTest, NamesWhatIsLeftOver) {
  const Answer answer = Ask("0x9900000");
  EXPECT_EQ(answer.exit_code, kExitOk);
  EXPECT_THAT(answer.text, HasSubstr("left over: device 0000:04:00.0, IOMMU group 4"));
}

TEST(WhoisTest, WritesForPrograms) {
  const auto json = nlohmann::json::parse(Ask("0x9100040", Format::kJson).text);
  EXPECT_EQ(json["kind"], "Whois");
  EXPECT_EQ(json["items"][0]["ours"], true);
  EXPECT_EQ(json["items"][0]["devices"][0]["id"], "0000:01:00.0");
}

}  // namespace
}  // namespace dp::ctl
