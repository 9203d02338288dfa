// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plugin/ledger/ledger_file.h"
#include "tests/fakes/fake_syscalls.h"
#include "tests/fakes/temporary_folder.h"

// Every way in which a system call of Save() can go wrong, at every one of them: what is loaded
// afterwards must be the old ledger or the new one, and the right one of them.
namespace dp::ledger {
namespace {

using fakes::FakeSyscalls;
using fakes::Fault;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

core::Ledger LedgerOf(const std::string& boot_id) {
  return {.generation = 0,
          .boot_id = boot_id,
          .reservations = {
              {.window = core::Window{.base = 0x09100000, .size = 0x100000},
               .pod = std::nullopt,
               .allocations = {{.resource = "vendor.example/nvme",
                                .holdings = {{.device = "0000:01:00.0", .members = boot_id}}}}}}};
}

// A folder with an old ledger or none, to be replaced by a new one.
class Replacement {
 public:
  explicit Replacement(bool has_old) {
    EXPECT_TRUE(file_.Prepare().ok());
    if (!has_old) return;
    old_ = LedgerOf("old");
    EXPECT_TRUE(file_.Save(*old_).ok());
  }

  absl::Status SaveNew() { return file_.Save(new_); }
  // In another process, which may die of it.
  void SaveNewAndDie(std::vector<Fault> faults) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const FakeSyscalls syscalls(std::move(faults));
      static_cast<void>(file_.Save(new_));
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_EQ(WEXITSTATUS(status), FakeSyscalls::kDeath);
  }

  [[nodiscard]] bool HasOld() const { return Loaded() == old_; }
  [[nodiscard]] bool HasNew() const { return Loaded() == new_; }

  void ExpectThatLifeGoesOn() {
    const core::Ledger next = LedgerOf("next");
    LedgerFile file(folder_.path());
    file.Load().IgnoreError();
    EXPECT_TRUE(file.Save(next).ok());
    EXPECT_EQ(Loaded(), next);
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename());
    }
    EXPECT_THAT(names, ElementsAre("ledger.json"));
  }

 private:
  // Empty: there is none. As a new process would load it.
  [[nodiscard]] std::optional<core::Ledger> Loaded() const {
    auto ledger = LedgerFile(folder_.path()).Load();
    if (ledger.ok()) return *std::move(ledger);
    EXPECT_EQ(ledger.status().code(), absl::StatusCode::kNotFound) << ledger.status();
    return std::nullopt;
  }

  const fakes::TemporaryFolder folder_;
  LedgerFile file_{folder_.path()};
  std::optional<core::Ledger> old_;
  const core::Ledger new_ = LedgerOf("new");
};

std::vector<std::string> CallsOfSave(bool has_old) {
  Replacement replacement(has_old);
  const FakeSyscalls syscalls;
  EXPECT_TRUE(replacement.SaveNew().ok());
  return syscalls.calls();
}

class LedgerCrashTest : public ::testing::TestWithParam<bool> {
 protected:
  const bool has_old_ = GetParam();
  const std::vector<std::string> calls_ = CallsOfSave(has_old_);
  const std::size_t write_ = Find("write");
  const std::size_t rename_ = Find("rename ledger.json.new");

 private:
  [[nodiscard]] std::size_t Find(const std::string& call) const {
    return static_cast<std::size_t>(std::find(calls_.begin(), calls_.end(), call) - calls_.begin());
  }
};

INSTANTIATE_TEST_SUITE_P(WithAndWithoutAnOldLedger, LedgerCrashTest, ::testing::Bool());

// A power cut cannot be played here. What protects from it is the order: the new file is on disk
// before it gets its name, and the name before Save() returns.
TEST_P(LedgerCrashTest, IsOnDiskBeforeItIsInPlace) {
  EXPECT_THAT(calls_, ElementsAre("open ", "open ledger.json.new", "fchmod", "write", "fsync",
                                  "open ", "unlink ledger.json.old", "link ledger.json",
                                  "rename ledger.json.new", "fsync", "unlink ledger.json.old"));
}

TEST_P(LedgerCrashTest, OneCallFails) {
  int saved = 0;
  int refused = 0;
  for (std::size_t call = 0; call < calls_.size(); ++call) {
    for (const int error : {ENOSPC, EIO, EROFS}) {
      SCOPED_TRACE(calls_[call] + ": " + std::strerror(error));
      Replacement replacement(has_old_);
      absl::Status status;
      {
        const FakeSyscalls syscalls({{.call = call, .kind = Fault::Kind::kFail, .error = error}});
        status = replacement.SaveNew();
      }
      if (status.ok()) {
        EXPECT_TRUE(replacement.HasNew());
        ++saved;
      } else {
        EXPECT_EQ(status.code(), absl::ErrnoToStatusCode(error)) << status;
        EXPECT_TRUE(replacement.HasOld());
        ++refused;
      }
      replacement.ExpectThatLifeGoesOn();
    }
  }
  // What may fail is the second name of the old file, and its removal.
  EXPECT_EQ(saved, 3 * 3);
  EXPECT_EQ(refused, 3 * 8);
}

TEST_P(LedgerCrashTest, AllCallsFailFromOneOn) {
  int unsure = 0;
  for (std::size_t call = 0; call < calls_.size(); ++call) {
    for (const int error : {ENOSPC, EIO, EROFS}) {
      SCOPED_TRACE(calls_[call] + ": " + std::strerror(error));
      Replacement replacement(has_old_);
      absl::Status status;
      {
        const FakeSyscalls syscalls(
            {{.call = call, .kind = Fault::Kind::kFailAll, .error = error}});
        status = replacement.SaveNew();
      }
      if (status.ok()) {
        EXPECT_TRUE(replacement.HasNew());
      } else if (absl::IsDataLoss(status)) {
        EXPECT_TRUE(replacement.HasOld() || replacement.HasNew());
        ++unsure;
      } else {
        EXPECT_EQ(status.code(), absl::ErrnoToStatusCode(error)) << status;
        EXPECT_TRUE(replacement.HasOld());
      }
      replacement.ExpectThatLifeGoesOn();
    }
  }
  // Only if the disk goes after the rename.
  EXPECT_EQ(unsure, 3);
}

// The disk says that the new name is not on it, and then that the old one is not either.
TEST_P(LedgerCrashTest, TheFolderNeverGetsToTheDisk) {
  Replacement replacement(has_old_);
  absl::Status status;
  {
    // Between them it gets its old name back.
    const FakeSyscalls syscalls(
        {{.call = rename_ + 1, .error = EIO}, {.call = rename_ + 3, .error = EIO}});
    status = replacement.SaveNew();
    EXPECT_EQ(syscalls.calls()[rename_ + 3], "fsync");
  }
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("/ledger.json may be the old file or the new one now"));
  EXPECT_TRUE(replacement.HasOld());
  replacement.ExpectThatLifeGoesOn();
}

TEST_P(LedgerCrashTest, AWriteIsShort) {
  Replacement replacement(has_old_);
  {
    const FakeSyscalls syscalls({{.call = write_, .kind = Fault::Kind::kShort},
                                 {.call = write_ + 1, .kind = Fault::Kind::kShort}});
    EXPECT_TRUE(replacement.SaveNew().ok());
    EXPECT_EQ(syscalls.calls().size(), calls_.size() + 2);
  }
  EXPECT_TRUE(replacement.HasNew());
  replacement.ExpectThatLifeGoesOn();
}

// As on a disk that gets full meanwhile.
TEST_P(LedgerCrashTest, AWriteIsShortAndTheNextOneFails) {
  Replacement replacement(has_old_);
  {
    const FakeSyscalls syscalls(
        {{.call = write_, .kind = Fault::Kind::kShort}, {.call = write_ + 1, .error = ENOSPC}});
    EXPECT_EQ(replacement.SaveNew().code(), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_TRUE(replacement.HasOld());
  replacement.ExpectThatLifeGoesOn();
}

TEST_P(LedgerCrashTest, TheProcessDiesBeforeACall) {
  for (std::size_t call = 0; call < calls_.size(); ++call) {
    SCOPED_TRACE(calls_[call]);
    Replacement replacement(has_old_);
    replacement.SaveNewAndDie({{.call = call, .kind = Fault::Kind::kDieBefore}});
    EXPECT_TRUE(call <= rename_ ? replacement.HasOld() : replacement.HasNew());
    replacement.ExpectThatLifeGoesOn();
  }
}

TEST_P(LedgerCrashTest, TheProcessDiesAfterACall) {
  for (std::size_t call = 0; call < calls_.size(); ++call) {
    SCOPED_TRACE(calls_[call]);
    Replacement replacement(has_old_);
    replacement.SaveNewAndDie({{.call = call, .kind = Fault::Kind::kDieAfter}});
    EXPECT_TRUE(call < rename_ ? replacement.HasOld() : replacement.HasNew());
    replacement.ExpectThatLifeGoesOn();
  }
}

TEST_P(LedgerCrashTest, TheProcessDiesWithHalfAFile) {
  Replacement replacement(has_old_);
  replacement.SaveNewAndDie({{.call = write_, .kind = Fault::Kind::kShort},
                             {.call = write_ + 1, .kind = Fault::Kind::kDieBefore}});
  EXPECT_TRUE(replacement.HasOld());
  replacement.ExpectThatLifeGoesOn();
}

// While it puts the old ledger back.
TEST_P(LedgerCrashTest, TheProcessDiesAfterTheDiskHasFailed) {
  for (std::size_t call = rename_ + 2; call < rename_ + 5; ++call) {
    Replacement replacement(has_old_);
    replacement.SaveNewAndDie(
        {{.call = rename_ + 1, .error = EIO}, {.call = call, .kind = Fault::Kind::kDieBefore}});
    EXPECT_TRUE(call == rename_ + 2 ? replacement.HasNew() : replacement.HasOld());
    replacement.ExpectThatLifeGoesOn();
  }
}

}  // namespace
}  // namespace dp::ledger
