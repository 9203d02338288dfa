// SPDX-License-Identifier: Apache-2.0
#include "plugin/kubelet/folder_watch.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <semaphore>

#include "tests/fakes/loop_thread.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::kubelet {
namespace {

namespace fs = std::filesystem;

// What a watch of `folder` reports.
class Observer {
 public:
  explicit Observer(const std::string& folder) {
    thread_.Do([&] {
      watch_ = std::make_unique<FolderWatch>(thread_.loop(), folder, [this](bool kubelet_started) {
        (kubelet_started ? starts_ : others_).release();
      });
    });
  }
  ~Observer() {
    thread_.Do([this] { watch_.reset(); });
    thread_.Stop();
  }

  // Each takes one report of its kind.
  bool WaitForStart() { return starts_.try_acquire_for(std::chrono::seconds(10)); }
  bool WaitForOther() { return others_.try_acquire_for(std::chrono::seconds(10)); }
  bool SawStart() { return starts_.try_acquire(); }
  bool SawOther() { return others_.try_acquire(); }
  void Pause() {
    thread_.Do([this] { watch_->Pause(); });
  }
  void Resume() {
    thread_.Do([this] { watch_->Resume(); });
  }
  bool polling() {
    bool polling = false;
    thread_.Do([&] { polling = watch_->polling(); });
    return polling;
  }

 private:
  std::counting_semaphore<> starts_{0};
  std::counting_semaphore<> others_{0};
  fakes::LoopThread thread_;
  std::unique_ptr<FolderWatch> watch_;
};

void Touch(const std::string& path) { std::ofstream file(path); }

TEST(FolderWatchTest, TellsTheKubeletsSocketFromOthers) {
  const fakes::TemporaryFolder folder;
  Touch(folder.path() + "/kubelet.sock");
  Observer observer(folder.path());
  EXPECT_FALSE(observer.polling());
  Touch(folder.path() + "/other.sock");
  ASSERT_TRUE(observer.WaitForOther()) << "waited 10 s for a change";
  EXPECT_FALSE(observer.SawStart());
  fs::remove(folder.path() + "/kubelet.sock");
  Touch(folder.path() + "/kubelet.sock");
  EXPECT_TRUE(observer.WaitForStart()) << "waited 10 s for the kubelet's socket to be seen";
}

TEST(FolderWatchTest, PollsAFolderThatCannotBeWatchedUntilItCan) {
  const fakes::TemporaryFolder scratch;
  const std::string folder = scratch.path() + "/plugins";
  Observer observer(folder);
  EXPECT_TRUE(observer.polling());
  fs::create_directory(folder);
  Touch(folder + "/kubelet.sock");
  EXPECT_TRUE(observer.WaitForStart()) << "waited 10 s for a poll to see the kubelet's socket";
  EXPECT_FALSE(observer.polling());
  fs::remove(folder + "/kubelet.sock");
  Touch(folder + "/kubelet.sock");
  EXPECT_TRUE(observer.WaitForStart()) << "waited 10 s for the watch to see it again";
}

TEST(FolderWatchTest, ReportsAfterAPauseWhatHappenedInIt) {
  const fakes::TemporaryFolder folder;
  Touch(folder.path() + "/kubelet.sock");
  Observer observer(folder.path());
  observer.Pause();
  Touch(folder.path() + "/other.sock");
  EXPECT_FALSE(observer.SawOther());
  observer.Resume();
  EXPECT_TRUE(observer.SawOther());
  EXPECT_FALSE(observer.SawStart()) << "the socket is the old one";

  observer.Pause();
  // A hard link to another file: surely another socket, however coarse the clock of the folder is.
  fs::remove(folder.path() + "/kubelet.sock");
  fs::create_hard_link(folder.path() + "/other.sock", folder.path() + "/kubelet.sock");
  EXPECT_FALSE(observer.SawStart());
  observer.Resume();
  EXPECT_TRUE(observer.SawStart());
  EXPECT_FALSE(observer.SawStart()) << "one start was reported twice";

  Touch(folder.path() + "/another.sock");
  EXPECT_TRUE(observer.WaitForOther()) << "waited 10 s for a change after the pause";
}

TEST(FolderWatchTest, DoesNotPollWhilePaused) {
  const fakes::TemporaryFolder scratch;
  const std::string folder = scratch.path() + "/plugins";
  Observer observer(folder);
  EXPECT_TRUE(observer.polling());
  observer.Pause();
  EXPECT_FALSE(observer.polling());
  fs::create_directory(folder);
  Touch(folder + "/kubelet.sock");
  observer.Resume();
  EXPECT_TRUE(observer.SawStart());
  EXPECT_FALSE(observer.polling());
}

TEST(FolderWatchTest, SurvivesTheFolder) {
  const fakes::TemporaryFolder scratch;
  const std::string folder = scratch.path() + "/plugins";
  fs::create_directory(folder);
  Observer observer(folder);
  EXPECT_FALSE(observer.polling());
  fs::remove(folder);
  ASSERT_TRUE(observer.WaitForOther()) << "waited 10 s for the end of the folder";
  EXPECT_TRUE(observer.polling());
  fs::create_directory(folder);
  Touch(folder + "/kubelet.sock");
  EXPECT_TRUE(observer.WaitForStart()) << "waited 10 s for the new folder to be seen";
}

}  // namespace
}  // namespace dp::kubelet
