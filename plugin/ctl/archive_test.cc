// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dp::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string MessageOf(std::string_view text) {
  return std::string(
      ReadArchive(text, [](const Entry& /*entry*/) { return absl::OkStatus(); }).message());
}

TEST(ArchiveTest, ThereAndBack) {
  ArchiveWriter writer;
  writer.AddComment("what\nit is");
  writer.AddFile("a/b", "one\n\ntwo\n");
  writer.AddFile("a/empty", "");
  writer.AddFile("a/cut", "no newline");
  writer.AddLink("l", "../a/b");
  writer.AddDirectory("d/e");
  EXPECT_EQ(writer.left_out(), 0U);
  std::vector<Entry> entries;
  ASSERT_TRUE(ReadArchive(writer.Finish(), [&](Entry entry) {
                entries.push_back(std::move(entry));
                return absl::OkStatus();
              }).ok());
  ASSERT_THAT(entries, SizeIs(5));
  EXPECT_EQ(entries[0].path, "a/b");
  EXPECT_EQ(entries[0].content, "one\n\ntwo\n");
  EXPECT_EQ(entries[1].content, "");
  EXPECT_EQ(entries[2].content, "no newline\n");
  EXPECT_EQ(entries[3].kind, Entry::Kind::kLink);
  EXPECT_EQ(entries[3].content, "../a/b");
  EXPECT_EQ(entries[4].kind, Entry::Kind::kDirectory);
}

TEST(ArchiveTest, NamesTheLineOfWhatIsWrong) {
  EXPECT_EQ(MessageOf("# a\nhello\n"), "line 2: expected \"Directory:\" or \"Path:\"");
  EXPECT_EQ(MessageOf("Path: a\n"), "line 1: it ends after \"Path:\"");
  EXPECT_THAT(MessageOf("Path: a\nLines: x\n"), HasSubstr("line 2: expected"));
  EXPECT_EQ(MessageOf("Path: a\nLines: 2\nx\n"), "line 3: it ends inside a file");
  for (const char* path : {"../a", "/a", "a//b", "a/./b", "a/..", ".", ""}) {
    EXPECT_THAT(MessageOf(std::string("Path: ") + path + "\nLines: 0\n"),
                HasSubstr("leads out of the archive"))
        << path;
  }
  EXPECT_THAT(MessageOf(std::string(kMostArchiveBytes + 1, '\n')), HasSubstr("more than 33554432"));
}

TEST(ArchiveTest, SaysWhatItLeavesOut) {
  ArchiveWriter writer;
  writer.AddFile("binary", std::string("\0", 1));
  writer.AddLink("link", "a\nb");
  writer.AddFile("../out", "");
  EXPECT_EQ(writer.left_out(), 3U);
  EXPECT_THAT(writer.Finish(), HasSubstr("# left out: binary: is no text\n"));
  for (int i = 0; i < 100; ++i) writer.LeaveOut("more", "why");
  EXPECT_THAT(writer.Finish(), HasSubstr("# left out: 83 more\n"));
}

TEST(ArchiveTest, StaysWithinItsBounds) {
  ArchiveWriter writer;
  const std::string megabyte(std::size_t{1} << 20, 'a');
  for (int i = 0; i < 40; ++i) writer.AddFile("f" + std::to_string(i), megabyte);
  EXPECT_TRUE(writer.is_full());
  EXPECT_LE(writer.Finish().size(), kMostArchiveBytes);
  EXPECT_THAT(writer.Finish(), HasSubstr("the archive is full"));
}

}  // namespace
}  // namespace dp::ctl
