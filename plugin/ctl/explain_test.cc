// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dp::ctl {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::SizeIs;

Guest GuestWith(std::uint64_t ram) {
  Guest guest;
  guest.name = "VM default/a";
  guest.map = guest::MemoryMap({.ram = ram}).value();
  return guest;
}

core::Pool PoolOf(std::uint64_t start, std::uint64_t end) {
  return {.start = start, .end = end, .window_size = core::kWindowGranule};
}

TEST(JudgePoolTest, SaysOnceWhatHoldsOfAllWindows) {
  const auto verdicts = JudgePool(GuestWith(guest::kGib), {});
  ASSERT_THAT(verdicts, SizeIs(1));
  EXPECT_EQ(verdicts[0].count, 111U);
  EXPECT_EQ(verdicts[0].windows, (core::Window{.base = 0x09100000, .size = 0x06f00000}));
  EXPECT_EQ(verdicts[0].verdict.judgement, guest::Judgement::kAccept);
}

TEST(JudgePoolTest, TellsApartWhatMeetsWhat) {
  // The end of the 32-bit PCI window, what is behind it, RAM.
  const auto verdicts = JudgePool(GuestWith(guest::kGib), PoolOf(0x3ee00000, 0x40300000));
  ASSERT_THAT(verdicts, SizeIs(3));
  EXPECT_EQ(verdicts[0].verdict.judgement, guest::Judgement::kWarn);
  EXPECT_EQ(verdicts[0].count, 2U);
  EXPECT_THAT(verdicts[0].verdict.reason,
              HasSubstr("the window [0x3ee00000, 0x3f000000) meets the 32-bit PCI window of the "
                        "guest, [0x10000000, 0x3eff0000)"));
  EXPECT_EQ(verdicts[2].verdict.judgement, guest::Judgement::kReject);
  EXPECT_EQ(verdicts[2].count, 3U);
}

TEST(JudgePoolTest, RejectsAllButTheDefaultWindowBesideAnSmmu) {
  Guest guest = GuestWith(guest::kGib);
  guest.fixed = "the domain has an SMMUv3 (line 9)";
  const auto verdicts = JudgePool(guest, {});
  ASSERT_THAT(verdicts, SizeIs(1));
  EXPECT_EQ(verdicts[0].verdict.judgement, guest::Judgement::kReject);
  EXPECT_THAT(verdicts[0].verdict.reason, HasSubstr("SMMUv3"));
  EXPECT_EQ(JudgePool(guest, PoolOf(0x08000000, 0x08100000))[0].verdict.judgement,
            guest::Judgement::kAccept);
}

TEST(JudgePoolTest, WarnsWhereThe64BitPciWindowIsNotKnown) {
  Guest guest = GuestWith(guest::kGib);
  guest.domain.unknown_pci = {"line 9: <pcihole64>"};
  const auto verdicts = JudgePool(guest, PoolOf(0xffe00000, 0x100200000));
  ASSERT_THAT(verdicts, SizeIs(2));
  EXPECT_EQ(verdicts[0].verdict.judgement, guest::Judgement::kAccept);
  EXPECT_EQ(verdicts[1].verdict.judgement, guest::Judgement::kWarn);
  EXPECT_THAT(verdicts[1].verdict.reason, HasSubstr("<pcihole64>"));
}

TEST(ParseWindowRangeTest, TakesStartAndEnd) {
  EXPECT_EQ(ParseWindowRange("0x09100000:0x09200000").value(),
            (core::Window{.base = 0x09100000, .size = 0x100000}));
  EXPECT_EQ(ParseWindowRange("0:1048576").value(), (core::Window{.base = 0, .size = 0x100000}));
}

TEST(ParseWindowRangeTest, RefusesWhatTheKernelDoesNotMake) {
  const auto message = [](const char* text) {
    return std::string(ParseWindowRange(text).status().message());
  };
  EXPECT_EQ(message("0x09100000"), "\"0x09100000\" is no range such as 0x09100000:0x09200000");
  EXPECT_THAT(message("a\n:b"), HasSubstr("\"a?:b\" is no range"));
  EXPECT_THAT(message("0x09100000:0x09100000"), HasSubstr("ends where it begins"));
  EXPECT_THAT(message("0x09180000:0x09200000"), HasSubstr("not on the grid of 0x100000 bytes"));
  EXPECT_THAT(message("0x09100000:0x10000000000000000"), HasSubstr("is no range"));
}

TEST(ExplainTest, ShowsTheMapAndTheVerdicts) {
  const Guest guest = GuestWith(guest::kGib);
  const Answer answer = Explain(guest, JudgePool(guest, {}), "of the default pool", {});
  EXPECT_EQ(answer.exit_code, kExitOk);
  EXPECT_EQ(answer.text,
            "VM default/a\n"
            "[0x90a0000, 0x90b0000)           the page of stolen time\n"
            "[0x10000000, 0x3eff0000)         the 32-bit PCI window\n"
            "[0x40000000, 0x80000000)         RAM\n"
            "[0x8000000000, 0x10000000000)    the 64-bit PCI window\n"
            "accept  [0x9100000, 0x10000000)  111 windows of the default pool\n");
}

TEST(ExplainTest, NamesBothRangesOfAWindowThatIsRejected) {
  Guest guest = GuestWith(guest::kGib);
  guest.unknown_end = "line 7: qemu:arg \"-m\"";
  const Answer answer = Explain(guest, JudgePool(guest, PoolOf(0x50000000, 0x50100000)), "", {});
  EXPECT_EQ(answer.exit_code, kExitNo);
  EXPECT_THAT(answer.text,
              HasSubstr("where RAM ends cannot be told, because of line 7: qemu:arg \"-m\"\n"));
  EXPECT_THAT(answer.text,
              EndsWith("reject  [0x50000000, 0x50100000): the window [0x50000000, 0x50100000) "
                       "meets RAM of the guest, [0x40000000, 0x80000000)\n"));
}

}  // namespace
}  // namespace dp::ctl
