// SPDX-License-Identifier: Apache-2.0
#include "plugin/ledger/ledger_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "plugin/ledger/ledger_json.h"
#include "tests/fakes/fake_syscalls.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::ledger {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

core::Ledger LedgerOf(const std::string& boot_id) {
  return {.generation = 0, .boot_id = boot_id, .reservations = {}};
}

class LedgerFileTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  [[nodiscard]] std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
  void Put(const std::string& text) const { std::ofstream(Path("ledger.json")) << text; }

  const fakes::TemporaryFolder scratch_;
  const std::string folder_ = scratch_.path() + "/state";
  LedgerFile file_{folder_};
};

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(LedgerFileTest, MakesAFolderForItselfAlone) {
  const mode_t umask_before = umask(0);
  EXPECT_TRUE(file_.Prepare().ok());
  EXPECT_TRUE(file_.Save(LedgerOf("a")).ok());
  umask(umask_before);
  EXPECT_EQ(fs::status(folder_).permissions(), fs::perms{0700});
  EXPECT_EQ(fs::status(Path("ledger.json")).permissions(), fs::perms{0600});
  EXPECT_THAT(Names(), ElementsAre("ledger.json"));
  EXPECT_TRUE(file_.Prepare().ok());
}

TEST_F(LedgerFileTest, LeavesTheModeOfAFolderThatIsThere) {
  ASSERT_EQ(::mkdir(folder_.c_str(), 0750), 0);
  EXPECT_TRUE(file_.Prepare().ok());
  EXPECT_EQ(fs::status(folder_).permissions(), fs::perms{0750});
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(LedgerFileTest, RefusesAFolderThatCannotBeMade) {
  const absl::Status missing = LedgerFile(Path("deeper")).Prepare();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(missing.message()),
            "cannot make the folder " + Path("deeper") + ": No such file or directory");

  std::ofstream(scratch_.path() + "/state") << "a file";
  EXPECT_EQ(std::string(file_.Prepare().message()),
            "cannot open " + folder_ + "/: Not a directory");
}

TEST_F(LedgerFileTest, RefusesAFolderThatCannotBeWrittenTo) {
  ASSERT_TRUE(file_.Prepare().ok());
  const fakes::FakeSyscalls syscalls({{.call = 2, .error = EROFS}});
  const absl::Status status = file_.Prepare();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(std::string(status.message()),
            "cannot create " + Path("ledger.json.new") + ": Read-only file system");
  EXPECT_THAT(syscalls.calls(), ElementsAre("mkdir state", "open ", "open ledger.json.new"));
}

// It tries with the folder locked, since an older daemon may be writing that very file.
TEST_F(LedgerFileTest, RefusesAFullDisk) {
  ASSERT_TRUE(file_.Prepare().ok());
  {
    const fakes::FakeSyscalls syscalls({{.call = 3, .error = ENOSPC}});
    EXPECT_EQ(std::string(file_.Prepare().message()),
              "cannot write " + Path("ledger.json.new") + ": No space left on device");
    EXPECT_THAT(syscalls.calls(), ElementsAre("mkdir state", "open ", "open ledger.json.new",
                                              "write", "unlink ledger.json.new"));
  }
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(LedgerFileTest, HasNothingBeforeTheFirstSave) {
  EXPECT_EQ(file_.Load().status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(file_.Prepare().ok());
  EXPECT_EQ(file_.Load().status().code(), absl::StatusCode::kNotFound);
}

TEST_F(LedgerFileTest, LoadsWhatWasSavedLast) {
  ASSERT_TRUE(file_.Prepare().ok());
  for (const char* const boot_id : {"a", "b"}) {
    ASSERT_TRUE(file_.Save(LedgerOf(boot_id)).ok());
    EXPECT_EQ(LedgerFile(folder_).Load().value(), LedgerOf(boot_id));
    EXPECT_EQ(file_.Load().value(), LedgerOf(boot_id));
  }
}

TEST_F(LedgerFileTest, SetsAsideWhatItCannotRead) {
  ASSERT_TRUE(file_.Prepare().ok());
  const std::string whole = Encode(LedgerOf("a"));
  const std::vector<std::string> unreadable = {"", std::string(whole.size(), '\0'),
                                               whole.substr(0, whole.size() / 2), "a ledger",
                                               std::string(kMaxBytes + 1, ' ')};
  for (std::size_t i = 0; i < unreadable.size(); ++i) {
    Put(unreadable[i]);
    const std::string aside = Path("ledger.json.unreadable-" + std::to_string(i + 1));
    const absl::Status status = file_.Load().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr(Path("ledger.json ")));
    EXPECT_THAT(std::string(status.message()), HasSubstr("; it is set aside as " + aside));
    EXPECT_EQ(Read(aside), unreadable[i]);
    EXPECT_EQ(file_.Load().status().code(), absl::StatusCode::kNotFound);
    // It goes on from there.
    ASSERT_TRUE(file_.Save(LedgerOf("b")).ok());
    EXPECT_EQ(file_.Load().value(), LedgerOf("b"));
  }
  EXPECT_EQ(Names().size(), unreadable.size() + 1);
}

TEST_F(LedgerFileTest, SetsAsideWhatIsOfANewerVersion) {
  ASSERT_TRUE(file_.Prepare().ok());
  Put(R"({"apiVersion": "vfio-doorbell/ledger/v2"})");
  const absl::Status status = file_.Load().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(std::string(status.message()),
            Path("ledger.json") +
                " is not readable: /apiVersion is v2, newer than v1, the newest that this daemon "
                "knows; it is set aside as " +
                Path("ledger.json.unreadable-1"));
}

TEST_F(LedgerFileTest, NeverOverwritesWhatWasSetAside) {
  ASSERT_TRUE(file_.Prepare().ok());
  std::ofstream(Path("ledger.json.unreadable-1")) << "first";
  std::ofstream(Path("ledger.json.unreadable-3")) << "third";
  for (const char* const text : {"second", "fourth"}) {
    Put(text);
    EXPECT_EQ(file_.Load().status().code(), absl::StatusCode::kDataLoss);
  }
  EXPECT_EQ(Read(Path("ledger.json.unreadable-1")), "first");
  EXPECT_EQ(Read(Path("ledger.json.unreadable-2")), "second");
  EXPECT_EQ(Read(Path("ledger.json.unreadable-3")), "third");
  EXPECT_EQ(Read(Path("ledger.json.unreadable-4")), "fourth");
}

TEST_F(LedgerFileTest, LeavesWhatItCouldNotReadThisTime) {
  ASSERT_TRUE(file_.Prepare().ok());
  ASSERT_TRUE(file_.Save(LedgerOf("a")).ok());
  for (const auto& [call, error] :
       {std::pair<std::size_t, int>(0, EACCES), {0, EMFILE}, {1, EIO}, {2, EIO}}) {
    {
      const fakes::FakeSyscalls syscalls({{.call = call, .error = error}});
      const absl::Status status = file_.Load().status();
      EXPECT_EQ(status.code(), absl::ErrnoToStatusCode(error));
      EXPECT_THAT(std::string(status.message()), HasSubstr(folder_));
    }
    EXPECT_THAT(Names(), ElementsAre("ledger.json"));
    EXPECT_EQ(file_.Load().value(), LedgerOf("a"));
  }
}

TEST_F(LedgerFileTest, LeavesWhatIsNoFile) {
  ASSERT_TRUE(file_.Prepare().ok());
  ASSERT_EQ(::mkdir(Path("ledger.json").c_str(), 0700), 0);
  EXPECT_EQ(std::string(file_.Load().status().message()),
            Path("ledger.json") + " is not a regular file");
  EXPECT_FALSE(file_.Save(LedgerOf("a")).ok());
  EXPECT_THAT(Names(), ElementsAre("ledger.json"));
}

TEST_F(LedgerFileTest, SaysSoIfItCannotSetAside) {
  ASSERT_TRUE(file_.Prepare().ok());
  Put("a ledger");
  {
    // After two opens, fstat and two reads.
    const fakes::FakeSyscalls syscalls({{.call = 5, .error = EROFS}});
    const absl::Status status = file_.Load().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(std::string(status.message()),
              Path("ledger.json") +
                  " is not readable: it is no JSON from byte 1 on; it cannot be " +
                  "set aside as " + Path("ledger.json.unreadable-1") + ": Read-only file system");
    EXPECT_EQ(syscalls.calls().back(), "link ledger.json");
  }
  EXPECT_EQ(Read(Path("ledger.json")), "a ledger");
  EXPECT_THAT(Names(), ElementsAre("ledger.json"));
}

TEST_F(LedgerFileTest, PaysNoHeedToLeftovers) {
  ASSERT_TRUE(file_.Prepare().ok());
  ASSERT_TRUE(file_.Save(LedgerOf("a")).ok());
  std::ofstream(Path("ledger.json.new")) << Encode(LedgerOf("b"));
  fs::create_hard_link(Path("ledger.json"), Path("ledger.json.old"));
  EXPECT_EQ(file_.Load().value(), LedgerOf("a"));
  ASSERT_TRUE(file_.Save(LedgerOf("c")).ok());
  EXPECT_EQ(file_.Load().value(), LedgerOf("c"));
  EXPECT_THAT(Names(), ElementsAre("ledger.json"));
}

TEST_F(LedgerFileTest, NamesThePathThatCannotBeWritten) {
  const absl::Status status = file_.Save(LedgerOf("a"));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(status.message()),
            "cannot open " + folder_ + "/: No such file or directory");
}

// As during an update: the older daemon must not write what it knows over what the younger one has
// promised since.
TEST_F(LedgerFileTest, IsKeptByTheProcessThatHasReadItLast) {
  ASSERT_TRUE(file_.Prepare().ok());
  ASSERT_TRUE(file_.Save(LedgerOf("a")).ok());
  EXPECT_FALSE(file_.IsTakenOver());
  LedgerFile younger(folder_);
  ASSERT_TRUE(younger.Load().ok());
  EXPECT_TRUE(file_.IsTakenOver());
  EXPECT_FALSE(younger.IsTakenOver());
  const absl::Status status = file_.Save(LedgerOf("b"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "another process has taken over " + Path("ledger.json"));
  EXPECT_TRUE(younger.Save(LedgerOf("c")).ok());
  EXPECT_EQ(LedgerFile(folder_).Load().value(), LedgerOf("c"));
}

TEST_F(LedgerFileTest, IsWrittenAgainIfSomebodyRemovesIt) {
  ASSERT_TRUE(file_.Prepare().ok());
  ASSERT_TRUE(file_.Save(LedgerOf("a")).ok());
  fs::remove(Path("ledger.json"));
  EXPECT_FALSE(file_.IsTakenOver());
  EXPECT_TRUE(file_.Save(LedgerOf("b")).ok());
}

}  // namespace
}  // namespace dp::ledger
