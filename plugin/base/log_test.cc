// SPDX-License-Identifier: Apache-2.0
#include "plugin/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace dp::log {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class LogTest : public testing::Test {
 protected:
  void TearDown() override { Configure(Level::kInfo, Format::kText); }

  // What `write` logs.
  template <typename Write>
  static std::string Capture(Format format, Write write) {
    Configure(Level::kInfo, format);
    testing::internal::CaptureStderr();
    write();
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(LogTest, TextIsTimeLevelMessageFields) {
  const std::string name = "vendor.example/nvme";
  const std::string line = Capture(Format::kText, [&] {
    Info("registered",
         {{"resource", name}, {"devices", std::size_t{3}}, {"node", -1}, {"healthy", true}});
  });
  EXPECT_THAT(
      line,
      MatchesRegex(
          "....-..-..T..:..:......Z info registered resource=vendor.example/nvme devices=3 node=-1 "
          "healthy=true\n"));
}

TEST_F(LogTest, JsonIsOneObjectPerLine) {
  const std::string line = Capture(Format::kJson, [] {
    Warning("knob refused",
            {{"error", absl::UnavailableError("group 7 is busy")}, {"group", std::uint32_t{7}}});
  });
  EXPECT_THAT(
      line, MatchesRegex(
                R"(\{"time":"....-..-..T..:..:......Z","level":"warning","message":"knob refused",)"
                R"("error":"group 7 is busy","group":7\})"
                "\n"));
}

TEST_F(LogTest, JsonEscapesWhateverABytesStringHolds) {
  const std::string_view hostile("a\"b\\c\nd\x01\x7f\xff\xc3\xa9\xed\xa0\x80", 15);
  const std::string line = Capture(Format::kJson, [&] { Error("bad", {{"text", hostile}}); });
  EXPECT_THAT(
      line,
      EndsWith(
          "\"text\":\"a\\\"b\\\\c\\nd\\u0001\\u007f\\ufffd\xc3\xa9\\ufffd\\ufffd\\ufffd\"}\n"));
}

TEST_F(LogTest, CutUtf8SequenceIsReplacedNotReadPast) {
  const std::string line = Capture(Format::kJson, [] {
    Error("bad", {{"text", std::string_view("\xf0\x9f\x98\x80", 3)}});
  });
  EXPECT_THAT(line, EndsWith(R"("text":"\ufffd\ufffd\ufffd"})"
                             "\n"));
}

TEST_F(LogTest, TextQuotesWhatWouldBreakTheLine) {
  const std::string line = Capture(Format::kText, [] {
    Info("a\nb",
         {{"empty", ""}, {"spaced", "a b"}, {"split", "a=b"}, {"line", "a\nb"}, {"bytes", "\xff"}});
  });
  EXPECT_THAT(line,
              EndsWith(R"( info a\nb empty="" spaced="a b" split="a=b" line="a\nb" bytes="\ufffd")"
                       "\n"));
}

TEST_F(LogTest, LevelFilters) {
  testing::internal::CaptureStderr();
  Configure(Level::kWarning, Format::kText);
  Debug("first");
  Info("second");
  Warning("third");
  Error("fourth");
  const std::string lines = testing::internal::GetCapturedStderr();
  EXPECT_THAT(lines, Not(HasSubstr("first")));
  EXPECT_THAT(lines, Not(HasSubstr("second")));
  EXPECT_THAT(lines, HasSubstr(" warning third\n"));
  EXPECT_THAT(lines, HasSubstr(" error fourth\n"));
}

TEST_F(LogTest, ParsesNamesOfLevelsAndFormats) {
  EXPECT_EQ(ParseLevel("debug"), Level::kDebug);
  EXPECT_EQ(ParseLevel("error"), Level::kError);
  EXPECT_EQ(ParseLevel("ERROR"), std::nullopt);
  EXPECT_EQ(ParseFormat("json"), Format::kJson);
  EXPECT_EQ(ParseFormat("text"), Format::kText);
  EXPECT_EQ(ParseFormat("xml"), std::nullopt);
}

TEST_F(LogTest, CountsWhatHasAReason) {
  const std::uint64_t before = CountOf(base::Reason::kGroupBusy);
  const std::string line = Capture(Format::kText, [] {
    Warning("window still held", {{"reason", base::Reason::kGroupBusy}, {"group", 7}});
    Info("asked", {{"reason", base::Reason::kGroupBusy}});
  });
  EXPECT_THAT(line, HasSubstr("warning window still held reason=group_busy group=7\n"));
  EXPECT_EQ(CountOf(base::Reason::kGroupBusy), before + 1);
}

TEST_F(LogTest, ShowsWhatHasAReasonToAnObserver) {
  std::string seen;
  Observe([&seen](Level level, std::string_view message, Fields fields) {
    seen += std::to_string(static_cast<int>(level)) + " " + std::string(message) + " " +
            std::to_string(fields.size()) + "\n";
  });
  Configure(Level::kOff, Format::kText);
  Error("a", {{"reason", base::Reason::kGroupBusy}});
  Info("b", {{"group", 7}});
  Info("c", {{"group", 7}, {"reason", base::Reason::kPodGone}});
  Observe({});
  Error("d", {{"reason", base::Reason::kGroupBusy}});
  EXPECT_EQ(seen, "3 a 1\n1 c 2\n");
}

}  // namespace
}  // namespace dp::log
