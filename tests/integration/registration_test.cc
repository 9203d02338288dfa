// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <tuple>

#include "tests/integration/world.h"

// Both ways by which a kubelet gets to know the plugin, and a new daemon beside an old one.

namespace dp::integration {
namespace {

using ::testing::IsEmpty;
using Release = fakes::FakeKubelet::Release;

class RegistrationWorld : public World {
 protected:
  explicit RegistrationWorld(Release release = Release::kV134) : World("/tmp", release) {
    AddDevice("0000:01:00.0", 11);
    AddDevice("0000:02:00.0", 12);
    std::filesystem::create_directory(path("registry"));
    kubelet_.WatchPlugins(path("registry"));
  }
  [[nodiscard]] std::vector<std::string> InRegistry() const {
    return {"--registration", "plugins-registry", "--plugins-registry-dir", path("registry")};
  }
  static std::vector<std::string> Entries(const std::string& folder) {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      paths.push_back(entry.path());
    return paths;
  }
};

class PluginsRegistryTest : public RegistrationWorld,
                            public ::testing::WithParamInterface<Release> {
 protected:
  PluginsRegistryTest() : RegistrationWorld(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(Kubelet, PluginsRegistryTest,
                         ::testing::Values(Release::kV134, Release::kV137), [](const auto& test) {
                           return test.param == Release::kV134 ? "v1_34" : "v1_37";
                         });

TEST_P(PluginsRegistryTest, RegistersByTheWatcherAlone) {
  kubelet_.Start();
  Start(InRegistry());
  ASSERT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
  const auto resource = kubelet_.Get(kResource);
  EXPECT_EQ(resource.registrations, 1);
  EXPECT_EQ(resource.lists, 1);
  EXPECT_THAT(Entries(path("registry")), ::testing::ElementsAre(resource.endpoint));
  EXPECT_THAT(Entries(path("plugins")), ::testing::ElementsAre(path("plugins/kubelet.sock")));
  EXPECT_TRUE(kubelet_.Allocate(kResource, {"0000:01:00.0"}, nullptr).ok());
  EXPECT_TRUE(daemon_->WaitForLog("registered")) << daemon_->log();
  Stop();
  EXPECT_THAT(Entries(path("registry")), IsEmpty());
  EXPECT_EQ(kubelet_.WaitForAllocatable(kResource, 0), absl::OkStatus());
  EXPECT_EQ(kubelet_.register_calls(), 0);
}

TEST_P(PluginsRegistryTest, ComesBackToAKubeletThatRestarts) {
  kubelet_.Start();
  Start(InRegistry());
  for (int i = 1; i <= 5; ++i) {
    ASSERT_EQ(kubelet_.WaitForRegistrations(kResource, i), absl::OkStatus()) << daemon_->log();
    ASSERT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
    kubelet_.Restart();
  }
  ASSERT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_TRUE(kubelet_.Allocate(kResource, {"0000:01:00.0"}, nullptr).ok());
  EXPECT_EQ(kubelet_.register_calls(), 0);
}

TEST_P(PluginsRegistryTest, IsNotHeldUpByTheSocketOfAKilledRun) {
  kubelet_.Start();
  Start(InRegistry());
  ASSERT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
  kubelet_.Stop();
  daemon_->Signal(SIGKILL);
  ASSERT_EQ(daemon_->Wait(), -SIGKILL);
  const std::vector<std::string> stale = Entries(path("registry"));
  ASSERT_EQ(stale.size(), 1U);
  kubelet_.Start();  // and dials it
  Start(InRegistry());
  ASSERT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_FALSE(std::filesystem::exists(stale.front()));
}

TEST_P(PluginsRegistryTest, MakesItsSocketAgain) {
  kubelet_.Start();
  Start(InRegistry());
  ASSERT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
  kubelet_.Stop();
  ASSERT_TRUE(daemon_->WaitForLog("not watched")) << daemon_->log();
  for (const std::string& socket : Entries(path("registry"))) std::filesystem::remove(socket);
  kubelet_.Start();
  EXPECT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
}

TEST_P(PluginsRegistryTest, IsThereAgainWhenTheKubeletDropsIt) {
  kubelet_.Start();
  Start(InRegistry());
  ASSERT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
  // It takes the plugin for gone.
  for (const std::string& socket : Entries(path("registry"))) std::filesystem::remove(socket);
  ASSERT_EQ(kubelet_.WaitForRegistrations(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
}

TEST_P(PluginsRegistryTest, LogsOnceWhyItIsRefusedAndTriesAgain) {
  kubelet_.RefuseRegistrations({grpc::StatusCode::UNKNOWN, "not today"});
  kubelet_.Start();
  Start(InRegistry());
  ASSERT_EQ(kubelet_.WaitForFinds(3), absl::OkStatus()) << daemon_->log();
  EXPECT_EQ(daemon_->CountInLog("not registered"), 1) << daemon_->log();
  EXPECT_EQ(daemon_->CountInLog("not today"), 1) << daemon_->log();
  kubelet_.RefuseRegistrations(grpc::Status::OK);
  EXPECT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
}

using NoPluginsRegistryTest = RegistrationWorld;

TEST_F(NoPluginsRegistryTest, UsesTheKubeletsSocketWithoutTheFolder) {
  std::filesystem::remove(path("registry"));
  kubelet_.WatchPlugins("");
  kubelet_.Start();
  Start(InRegistry());
  ASSERT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
  kubelet_.Restart();
  ASSERT_EQ(kubelet_.WaitForRegistrations(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_EQ(daemon_->CountInLog("registering through the kubelet's socket"), 1) << daemon_->log();
  EXPECT_EQ(daemon_->CountInLog(path("registry")), 1) << daemon_->log();
}

TEST_F(NoPluginsRegistryTest, UsesTheKubeletsSocketWhereItMayNotWrite) {
  std::filesystem::permissions(path("registry"), std::filesystem::perms{0555});
  kubelet_.Start();
  std::vector<std::string> arguments = Locations();
  for (std::string& argument : InRegistry()) arguments.push_back(std::move(argument));
  // Root may write anywhere otherwise.
  daemon_ =
      std::make_unique<Daemon>(std::move(arguments), root_.path(),
                               std::vector<std::string>{"setpriv", "--bounding-set=-dac_override"});
  ASSERT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_EQ(kubelet_.register_calls(), 1);
  EXPECT_EQ(daemon_->CountInLog("Permission denied"), 1) << daemon_->log();
}

// A new daemon beside an old one, which then ends.
class RollingUpdateTest
    : public RegistrationWorld,
      public ::testing::WithParamInterface<std::tuple<Release, bool /*registry*/, int /*signal*/>> {
 protected:
  // What it takes a kubelet of 1.34, which disconnects the new daemon because of the old one, and
  // an emulated minute of a busy machine. Its plugin watcher needs another second, which the fake
  // one does not.
  static constexpr std::chrono::milliseconds kLongest{500};

  RollingUpdateTest() : RegistrationWorld(std::get<Release>(GetParam())) {
    std::filesystem::create_directory(path("new"));
  }
};
INSTANTIATE_TEST_SUITE_P(Kubelet, RollingUpdateTest,
                         ::testing::Combine(::testing::Values(Release::kV134, Release::kV137),
                                            ::testing::Bool(), ::testing::Values(SIGTERM, SIGKILL)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param) == Release::kV134 ? "v1_34"
                                                                                        : "v1_37") +
                                  (std::get<1>(test.param) ? "_registry" : "_socket") +
                                  (std::get<2>(test.param) == SIGTERM ? "_ended" : "_killed");
                         });

TEST_P(RollingUpdateTest, IsHardlyNoticed) {
  const auto [release, registry, signal] = GetParam();
  const std::vector<std::string> way = registry ? InRegistry() : std::vector<std::string>{};
  kubelet_.Start();
  Start(way);
  ASSERT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << daemon_->log();
  const std::string socket = kubelet_.Get(kResource).endpoint;

  std::vector<std::string> arguments = Locations();
  arguments.insert(arguments.end(), way.begin(), way.end());
  Daemon update(std::move(arguments), path("new"));
  ASSERT_EQ(kubelet_.WaitFor(kResource, "a second daemon's list",
                             [](const auto& resource) { return resource.lists == 2; }),
            absl::OkStatus())
      << update.log();
  EXPECT_EQ(kubelet_.Get(kResource).allocatable, 2U);
  EXPECT_TRUE(std::filesystem::exists(socket)) << "the old one's socket was taken away";
  daemon_->Signal(signal);
  ASSERT_EQ(daemon_->Wait(), signal == SIGKILL ? -SIGKILL : 0) << daemon_->log();

  const int registrations = release == Release::kV134 ? 3 : 2;
  ASSERT_EQ(kubelet_.WaitForRegistrations(kResource, registrations), absl::OkStatus())
      << update.log();
  ASSERT_EQ(kubelet_.WaitFor(kResource, "the new daemon's devices alone",
                             [&](const auto& resource) {
                               return resource.allocatable == 2 && resource.endpoint != socket;
                             }),
            absl::OkStatus())
      << update.log();
  const auto longest = kubelet_.Get(kResource).longest_without;
  if (release == Release::kV137) {
    EXPECT_EQ(longest.count(), 0) << "nanoseconds without a device";
  } else {
    EXPECT_GT(longest.count(), 0) << "this kubelet should have disconnected the new daemon";
    EXPECT_LT(longest, kLongest) << "without a device";
    RecordProperty("longest_without_us", std::to_string(longest / std::chrono::microseconds(1)));
  }
  EXPECT_TRUE(kubelet_.Allocate(kResource, {"0000:01:00.0"}, nullptr).ok());

  // And it stays: with the kubelet, and after it.
  kubelet_.Restart();
  ASSERT_EQ(kubelet_.WaitForAllocatable(kResource, 2), absl::OkStatus()) << update.log();
  EXPECT_TRUE(kubelet_.Allocate(kResource, {"0000:02:00.0"}, nullptr).ok());
}

}  // namespace
}  // namespace dp::integration
