// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/inotify_watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/resource.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dp::os {

void PrintTo(const DirectoryChange& change, std::ostream* out) {
  *out << static_cast<int>(change.kind) << ":" << change.name;
}

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = DirectoryChange::Kind;

// As the kernel lays it out: the header, then the name padded with zeros to `length`.
std::string Event(std::uint32_t mask, std::string_view name = "", std::uint32_t length = 16) {
  inotify_event event{};
  event.mask = mask;
  event.len = name.empty() ? 0 : length;
  std::string bytes(sizeof(event) + event.len, '\0');
  std::memcpy(bytes.data(), &event, sizeof(event));
  std::memcpy(bytes.data() + sizeof(event), name.data(), name.size());
  return bytes;
}

TEST(ParseInotifyEventsTest, ReadsARunOfEvents) {
  EXPECT_THAT(
      ParseInotifyEvents(Event(IN_CREATE, "kubelet.sock") + Event(IN_DELETE | IN_ISDIR, "a") +
                         Event(IN_MOVED_TO, "b") + Event(IN_MOVED_FROM, "c") +
                         Event(IN_Q_OVERFLOW) + Event(IN_DELETE_SELF) + Event(IN_IGNORED)),
      ElementsAre(DirectoryChange{Kind::kCreated, "kubelet.sock"},
                  DirectoryChange{Kind::kDeleted, "a"}, DirectoryChange{Kind::kCreated, "b"},
                  DirectoryChange{Kind::kDeleted, "c"}, DirectoryChange{Kind::kOverflow, ""},
                  DirectoryChange{Kind::kEnded, ""}));
  EXPECT_THAT(ParseInotifyEvents(""), IsEmpty());
}

TEST(ParseInotifyEventsTest, NameMayFillItsField) {
  const std::string name(16, 'n');
  EXPECT_THAT(ParseInotifyEvents(Event(IN_CREATE, name)),
              ElementsAre(DirectoryChange{Kind::kCreated, name}));
}

TEST(ParseInotifyEventsTest, CutOffEventMeansLookForYourself) {
  const std::string bytes = Event(IN_CREATE, "kubelet.sock");
  for (std::size_t length = 1; length < bytes.size(); ++length) {
    EXPECT_THAT(ParseInotifyEvents(std::string_view(bytes).substr(0, length)),
                ElementsAre(DirectoryChange{Kind::kOverflow, ""}))
        << length;
  }
}

class InotifyWatcherTest : public testing::Test {
 protected:
  InotifyWatcherTest() : loop_owner_(*EventLoop::Create()), loop_(*loop_owner_) {
    std::string name = testing::TempDir() + "inotifyXXXXXX";
    directory_ = ::mkdtemp(name.data());
    loop_.CallAfter(std::chrono::seconds(20), [this] {
      ADD_FAILURE() << "the expected changes did not come within 20 s";
      loop_.Stop();
    });
  }
  ~InotifyWatcherTest() override { std::filesystem::remove_all(directory_); }

  // Collects changes until there are `count`.
  InotifyWatcher::Handler CollectUntil(std::size_t count) {
    return [this, count](std::span<const DirectoryChange> changes) {
      changes_.insert(changes_.end(), changes.begin(), changes.end());
      if (changes_.size() >= count) loop_.Stop();
    };
  }

  std::string directory_;
  std::unique_ptr<EventLoop> loop_owner_;
  EventLoop& loop_;
  std::vector<DirectoryChange> changes_;
};

TEST_F(InotifyWatcherTest, ReportsNamesThatComeAndGo) {
  const auto watcher = InotifyWatcher::Create(loop_, directory_, CollectUntil(4));
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  std::ofstream(directory_ + "/kubelet.sock") << "written, which is no change of the directory";
  std::filesystem::rename(directory_ + "/kubelet.sock", directory_ + "/other");
  std::filesystem::remove(directory_ + "/other");
  loop_.Run();
  EXPECT_THAT(changes_, ElementsAre(DirectoryChange{Kind::kCreated, "kubelet.sock"},
                                    DirectoryChange{Kind::kDeleted, "kubelet.sock"},
                                    DirectoryChange{Kind::kCreated, "other"},
                                    DirectoryChange{Kind::kDeleted, "other"}));
}

TEST_F(InotifyWatcherTest, ReportsTheEndOfTheDirectory) {
  const auto watcher = InotifyWatcher::Create(loop_, directory_, CollectUntil(1));
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  std::filesystem::remove(directory_);
  loop_.Run();
  EXPECT_THAT(changes_, ElementsAre(DirectoryChange{Kind::kEnded, ""}));
}

TEST_F(InotifyWatcherTest, HandlerMayDestroyTheWatcher) {
  std::unique_ptr<InotifyWatcher> watcher;
  auto created =
      InotifyWatcher::Create(loop_, directory_, [&](std::span<const DirectoryChange> changes) {
        watcher.reset();
        changes_.assign(changes.begin(), changes.end());
        loop_.Stop();
      });
  ASSERT_TRUE(created.ok()) << created.status();
  watcher = *std::move(created);
  std::ofstream(directory_ + "/a").flush();
  loop_.Run();
  EXPECT_THAT(changes_, ElementsAre(DirectoryChange{Kind::kCreated, "a"}));
}

TEST_F(InotifyWatcherTest, SeesNothingWhilePaused) {
  auto created = InotifyWatcher::Create(loop_, directory_, [&](auto changes) {
    changes_.assign(changes.begin(), changes.end());
    loop_.Stop();
  });
  ASSERT_TRUE(created.ok()) << created.status();
  (*created)->Pause();
  (*created)->Pause();
  std::ofstream(directory_ + "/a").flush();
  ASSERT_EQ((*created)->Resume(), absl::OkStatus());
  std::ofstream(directory_ + "/b").flush();
  loop_.Run();
  EXPECT_THAT(changes_, ElementsAre(DirectoryChange{Kind::kCreated, "b"}));
}

TEST_F(InotifyWatcherTest, ResumeSaysThatTheDirectoryIsGone) {
  const std::string gone = directory_ + "/gone";
  std::filesystem::create_directory(gone);
  auto created = InotifyWatcher::Create(loop_, gone, [](auto) {});
  ASSERT_TRUE(created.ok()) << created.status();
  (*created)->Pause();
  std::filesystem::remove(gone);
  EXPECT_EQ((*created)->Resume().code(), absl::StatusCode::kNotFound);
}

TEST_F(InotifyWatcherTest, MissingDirectoryAndPlainFileAreNamed) {
  const auto missing = InotifyWatcher::Create(loop_, directory_ + "/no", [](auto) {});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(missing.status().message()),
            "cannot watch " + directory_ + "/no: No such file or directory");

  std::ofstream(directory_ + "/file").flush();
  const auto file = InotifyWatcher::Create(loop_, directory_ + "/file", [](auto) {});
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("Not a directory"));
}

TEST_F(InotifyWatcherTest, NoInstanceLeftIsResourceExhausted) {
  // The limit of descriptors stands in for fs.inotify.max_user_instances: both are EMFILE.
  rlimit original{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &original), 0);
  rlimit none = original;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto watcher = InotifyWatcher::Create(loop_, directory_, [](auto) {});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &original), 0);
  EXPECT_EQ(watcher.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(watcher.status().message()),
            "cannot watch " + directory_ +
                ": no inotify instance or watch is left (Too many open files)");
}

}  // namespace
}  // namespace dp::os
