// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/smmu_event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dp::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

SmmuEvent Number(std::uint64_t iova) {
  return {.name = {}, .client = {}, .stream = {}, .iova = iova};
}

TEST(ParseEventsTest, TakesNumbers) {
  EXPECT_THAT(ParseEvents("0x9100040"), ElementsAre(Number(0x9100040)));
  EXPECT_THAT(ParseEvents(" 152043584\n"), ElementsAre(Number(152043584)));
}

// As Linux 6.12 prints it.
TEST(ParseEventsTest, ReadsTheWordsOfAnEvent) {
  EXPECT_THAT(ParseEvents("[   41.002] arm-smmu-v3 9050000.smmuv3: event 0x10 received:\n"
                          "[   41.002] arm-smmu-v3 9050000.smmuv3: \t0x0000008000000010\n"
                          "[   41.002] arm-smmu-v3 9050000.smmuv3: \t0x0000020000000000\n"
                          "[   41.002] arm-smmu-v3 9050000.smmuv3: \t0x0000000009100040\n"
                          "[   41.002] arm-smmu-v3 9050000.smmuv3: \t0x0000000000000000\n"),
              ElementsAre(SmmuEvent{
                  .name = "F_TRANSLATION", .client = "", .stream = 0x80, .iova = 0x9100040}));
}

// As Linux 7.2 prints it.
TEST(ParseEventsTest, ReadsADecodedEvent) {
  const std::string line =
      "arm-smmu-v3 arm-smmu-v3.0.auto: event: F_TRANSLATION client: 0000:00:10.0 sid: 0x80 ssid: "
      "0x0 iova: 0x9100040 ipa: 0x0";
  const SmmuEvent event{
      .name = "F_TRANSLATION", .client = "0000:00:10.0", .stream = 0x80, .iova = 0x9100040};
  EXPECT_THAT(ParseEvents(line), ElementsAre(event));
  // Both forms of one event are one.
  EXPECT_THAT(
      ParseEvents("x: event 0x10 received:\n\t0x0000008000000010\n\t0x0000020000000000\n"
                  "\t0x0000000009100040\n\t0x0000000000000000\n" +
                  line + "\nunpriv data write s1 \"Input address caused fault\" stag: 0x0\n"),
      ElementsAre(event));
}

TEST(ParseEventsTest, ReadsEventsWithoutAnAddress) {
  EXPECT_THAT(
      ParseEvents("event: C_BAD_STREAMID client: (unassigned sid) sid: 0x99 ssid: 0x0"),
      ElementsAre(SmmuEvent{.name = "C_BAD_STREAMID", .client = "", .stream = 0x99, .iova = {}}));
  EXPECT_THAT(
      ParseEvents("event: F_STE_FETCH client: 0000:00:10.0 sid: 0x80 ssid: 0x0 fetch_addr: 0x40"),
      ElementsAre(
          SmmuEvent{.name = "F_STE_FETCH", .client = "0000:00:10.0", .stream = 0x80, .iova = {}}));
  // The line alone, as grep finds it.
  EXPECT_THAT(
      ParseEvents("arm-smmu-v3 9050000.smmuv3: event 0x10 received:"),
      ElementsAre(SmmuEvent{.name = "F_TRANSLATION", .client = "", .stream = {}, .iova = {}}));
  EXPECT_THAT(
      ParseEvents("event 0x7f received:\n0x000000800000007f\n0x0000000000000000\n"
                  "0x0000000000000000\n0x0000000000000000\n"),
      ElementsAre(SmmuEvent{.name = "event 0x7f", .client = "", .stream = 0x80, .iova = {}}));
}

TEST(ParseEventsTest, ReadsAddressesOfOthers) {
  EXPECT_THAT(
      ParseEvents("arm-smmu e0600000.smmu: Unhandled context fault: fsr=0x402, "
                  "iova=0x08000040, fsynr=0x3, cb=1"),
      ElementsAre(SmmuEvent{.name = "address", .client = "", .stream = {}, .iova = 0x08000040}));
}

TEST(ParseEventsTest, HasBounds) {
  std::string text;
  for (std::size_t i = 0; i < 2 * kMostEvents; ++i) text += "iova: 0x1\n";
  EXPECT_THAT(ParseEvents(text), SizeIs(kMostEvents));
}

TEST(ParseEventsTest, AnswersAnything) {
  for (const char* text :
       {"", "\n", "hello", "0x", "iova", "iova:", "iova: much", "event 0x received:x",
        "event: client: ", "-1", "0x10000000000000000", "xiova0x1"}) {
    const auto events = ParseEvents(text);
    if (std::string(text).find("event 0x") == std::string::npos) {
      EXPECT_THAT(events, IsEmpty()) << text;
    }
  }
}

}  // namespace
}  // namespace dp::ctl
