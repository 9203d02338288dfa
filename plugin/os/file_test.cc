// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "plugin/base/unique_fd.h"

namespace dp::os {
namespace {

using ::testing::HasSubstr;

class FileTest : public testing::Test {
 protected:
  FileTest() {
    std::string name = testing::TempDir() + "fileXXXXXX";
    directory_ = ::mkdtemp(name.data());
  }
  ~FileTest() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  [[nodiscard]] std::size_t EntryCount() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(directory_), {}));
  }

  std::string directory_;
};

TEST_F(FileTest, ReadsBackWhatWasWritten) {
  const std::string content("a\0b\n", 4);
  ASSERT_TRUE(WriteFileAtomically(Path("f"), content, 0640).ok());
  EXPECT_EQ(ReadFile(Path("f"), 4).value(), content);
  struct stat info {};
  ASSERT_EQ(::stat(Path("f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  EXPECT_EQ(EntryCount(), 1u);
}

TEST_F(FileTest, ReplacesTheFileAndLeavesAnOpenReaderTheOldOne) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "old", 0600).ok());
  const base::UniqueFd reader(::open(Path("f").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "new", 0600).ok());
  char seen[4] = {};
  EXPECT_EQ(::read(reader.get(), seen, 3), 3);
  EXPECT_STREQ(seen, "old");
  EXPECT_EQ(ReadFile(Path("f"), 100).value(), "new");
}

TEST_F(FileTest, LeftoverOfAKilledWriterIsReplaced) {
  ASSERT_TRUE(WriteFileAtomically(Path("f.new"), "half a fi", 0600).ok());
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "whole", 0600).ok());
  EXPECT_EQ(ReadFile(Path("f"), 100).value(), "whole");
  EXPECT_EQ(EntryCount(), 1u);
}

TEST_F(FileTest, SecondNameOfAKilledWriterIsRemoved) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "first", 0600).ok());
  std::filesystem::create_hard_link(Path("f"), Path("f.old"));
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "second", 0600).ok());
  EXPECT_EQ(ReadFile(Path("f"), 100).value(), "second");
  EXPECT_EQ(EntryCount(), 1u);
}

TEST_F(FileTest, SyncsTheFolderThatAPathIsIn) {
  EXPECT_TRUE(SyncParent(Path("f")).ok());
  EXPECT_TRUE(SyncParent(directory_ + "/").ok());
  EXPECT_TRUE(SyncParent("f").ok());
  EXPECT_EQ(std::string(SyncParent(Path("no/f/")).message()),
            "cannot open " + Path("no/") + ": No such file or directory");
}

TEST_F(FileTest, FailedWriteNamesThePathAndLeavesTheOldFile) {
  const absl::Status missing = WriteFileAtomically(Path("no/f"), "x", 0600);
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(missing.message()),
            "cannot create " + Path("no/f.new") + ": No such file or directory");

  ASSERT_EQ(::mkdir(Path("taken").c_str(), 0700), 0);
  const absl::Status taken = WriteFileAtomically(Path("taken"), "x", 0600);
  EXPECT_THAT(std::string(taken.message()),
              HasSubstr("cannot rename " + Path("taken.new") + " to " + Path("taken")));
  EXPECT_EQ(EntryCount(), 1u);
}

TEST_F(FileTest, WriterDoesNotFollowALinkPutInItsWay) {
  ASSERT_EQ(::symlink(Path("victim").c_str(), Path("f.new").c_str()), 0);
  EXPECT_FALSE(WriteFileAtomically(Path("f"), "x", 0600).ok());
  EXPECT_FALSE(std::filesystem::exists(Path("victim")));
}

TEST_F(FileTest, ReadIsBounded) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "12345", 0600).ok());
  const auto content = ReadFile(Path("f"), 4);
  EXPECT_EQ(content.status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(std::string(content.status().message()), Path("f") + " has more than 4 bytes");
}

TEST_F(FileTest, ReadsAFileThatDoesNotSayItsSize) {
  const std::string maps = ReadFile("/proc/self/maps", 1 << 20).value();
  EXPECT_GT(maps.size(), 4096u);
  EXPECT_THAT(maps, HasSubstr("[stack]"));
  EXPECT_EQ(ReadFile("/proc/self/maps", 5000).status().code(), absl::StatusCode::kOutOfRange);
}

TEST_F(FileTest, ReadsAnEmptyFile) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "", 0600).ok());
  EXPECT_EQ(ReadFile(Path("f"), 0).value(), "");
}

TEST_F(FileTest, ReadRefusesWhatIsNoFileWithoutWaitingForIt) {
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  const auto fifo = ReadFile(Path("fifo"), 10);
  EXPECT_EQ(fifo.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(fifo.status().message()), Path("fifo") + " is not a regular file");
  EXPECT_EQ(ReadFile(directory_, 10).status().code(), absl::StatusCode::kFailedPrecondition);
  const auto missing = ReadFile(Path("missing"), 10);
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr(Path("missing")));
}

TEST_F(FileTest, TellsAFileFromItsReplacement) {
  EXPECT_EQ(FindFile(Path("f")), std::nullopt);
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "1", 0600).ok());
  const auto first = FindFile(Path("f"));
  EXPECT_NE(first, std::nullopt);
  EXPECT_EQ(FindFile(Path("f")), first);
  // The first one is still there while the second one is made, so it has another inode.
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "2", 0600).ok());
  EXPECT_NE(FindFile(Path("f")), first);
}

TEST_F(FileTest, LocksAFolderUntilItIsClosed) {
  auto lock = LockFolder(directory_);
  ASSERT_TRUE(lock.ok()) << lock.status();
  const base::UniqueFd other(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(::flock(other.get(), LOCK_EX | LOCK_NB), -1);
  EXPECT_EQ(errno, EWOULDBLOCK);
  lock->Reset();
  EXPECT_EQ(::flock(other.get(), LOCK_EX | LOCK_NB), 0);
}

TEST_F(FileTest, NamesTheFolderThatCannotBeLocked) {
  EXPECT_EQ(LockFolder("/nowhere").status(),
            absl::NotFoundError("cannot open /nowhere/: No such file or directory"));
}

}  // namespace
}  // namespace dp::os
