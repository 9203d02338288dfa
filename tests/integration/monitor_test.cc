// SPDX-License-Identifier: Apache-2.0
// The real vfio-doorbell-monitor, between a client of HTTP and the admin socket of a daemon.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/fake_admin_server.h"
#include "tests/fakes/fake_api_server.h"
#include "tests/fakes/http_client.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/integration/daemon.h"

namespace dp::integration {
namespace {

namespace v1 = ::vfio_doorbell::admin::v1;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class MonitorTest : public ::testing::Test {
 protected:
  MonitorTest() : server_(folder_.path() + "/admin.sock") {
    v1::NodeState state;
    v1::Resource& resource = *state.add_resources();
    resource.set_name("vendor.example/nvme");
    resource.set_watched(true);
    server_.SetState(state);
    v1::GetMetricsResponse metrics;
    v1::MetricFamily& family = *metrics.add_families();
    family.set_name("vfio_doorbell_pool_windows");
    family.set_type(v1::METRIC_GAUGE);
    family.add_metrics()->set_value(256);
    server_.SetMetrics(metrics);
  }

  std::unique_ptr<Daemon> Run(std::vector<std::string> arguments) {
    arguments.push_back("--admin-socket=" + server_.path());
    return std::make_unique<Daemon>(std::move(arguments), folder_.path(),
                                    std::vector<std::string>{}, DP_MONITOR);
  }
  void Start(std::vector<std::string> more = {}) {
    more.push_back("--http-address=127.0.0.1:0");
    monitor_ = Run(std::move(more));
    const std::string before = "address=127.0.0.1:";
    ASSERT_TRUE(monitor_->WaitForLog(before)) << monitor_->log();
    const std::string log = monitor_->log();
    port_ = static_cast<std::uint16_t>(std::stoi(log.substr(log.find(before) + before.size())));
  }
  [[nodiscard]] std::string Get(const std::string& path) const {
    return fakes::GetHttp(port_, path);
  }
  // Asks until the page begins so, each answer being a wait of its own; how long it took.
  Clock::duration Until(const std::string& path, const std::string& beginning) const {
    const auto begin = Clock::now();
    while (Clock::now() - begin < Daemon::kPatience) {
      if (Get(path).starts_with(beginning)) return Clock::now() - begin;
      std::this_thread::yield();
    }
    ADD_FAILURE() << path << " has not begun with " << beginning << " within "
                  << Daemon::kPatience.count() << " s: " << Get(path);
    return Daemon::kPatience;
  }

  fakes::TemporaryFolder folder_;
  fakes::FakeAdminServer server_;
  std::unique_ptr<Daemon> monitor_;
  std::uint16_t port_ = 0;
};

constexpr char kOk[] = "HTTP/1.1 200 ";
constexpr char kUnavailable[] = "HTTP/1.1 503 ";

TEST_F(MonitorTest, ShowsWhatTheDaemonSays) {
  server_.Start();
  Start();
  EXPECT_EQ(server_.WaitForWatchers(1), absl::OkStatus());
  EXPECT_THAT(Get("/metrics"), HasSubstr("\nvfio_doorbell_pool_windows 256\n"));
  EXPECT_THAT(Get("/metrics"), HasSubstr("\nvfio_doorbell_monitor_daemon_up 1\n"));
  for (const char* probe : {"/livez", "/livez/monitor", "/readyz", "/startupz"}) {
    EXPECT_THAT(Get(probe), StartsWith(kOk)) << probe;
  }
  monitor_->Signal(SIGTERM);
  EXPECT_EQ(monitor_->Wait(), 0) << monitor_->log();
}

TEST_F(MonitorTest, TellsKubernetesHowTheNodeStands) {
  fakes::FakeApiServer api;
  api.PutNode("n1", {});
  server_.Start();
  Start({"--node-name=n1", "--api-server=" + api.url(), "--no-events", "--no-object"});
  EXPECT_TRUE(api.WaitForCount("PATCH", "/api/v1/nodes/n1/status", 1)) << monitor_->log();
  Until("/readyz", kOk);
  const auto begin = Clock::now();
  nlohmann::json conditions;
  while (conditions.empty() && Clock::now() - begin < Daemon::kPatience) {
    conditions = api.At("/api/v1/nodes/n1")["status"]["conditions"];
  }
  ASSERT_EQ(conditions.size(), 1U) << monitor_->log();
  EXPECT_EQ(conditions[0]["type"], "VfioDoorbellReady");
  EXPECT_THAT(Get("/metrics"), HasSubstr(R"(vfio_doorbell_monitor_api_calls_total{result="ok"} )"));
  monitor_->Signal(SIGTERM);
  EXPECT_EQ(monitor_->Wait(), 0) << monitor_->log();
}

TEST_F(MonitorTest, EndsWhileTheApiServerIsSilent) {
  fakes::FakeApiServer api;
  api.PutNode("n1", {});
  api.Inject({.method = "",
              .path = "/n1",
              .answer = fakes::FakeApiServer::Answer::kNone,
              .text = "",
              .times = 100});
  server_.Start();
  Start({"--node-name=n1", "--api-server=" + api.url()});
  EXPECT_TRUE(api.WaitForCount("", "/n1", 1)) << monitor_->log();
  Until("/readyz", kOk);
  monitor_->Signal(SIGTERM);
  EXPECT_EQ(monitor_->Wait(), 0) << monitor_->log();
}

TEST_F(MonitorTest, WaitsForADaemonAndForTheNextOne) {
  Start();
  EXPECT_THAT(Get("/livez"), StartsWith(kUnavailable));
  EXPECT_THAT(Get("/startupz"), StartsWith(kUnavailable));
  EXPECT_THAT(Get("/livez/monitor"), StartsWith(kOk));
  EXPECT_THAT(Get("/metrics"), HasSubstr("\nvfio_doorbell_monitor_daemon_up 0\n"));
  server_.Start();
  Until("/readyz", kOk);
  EXPECT_EQ(server_.WaitForWatchers(1), absl::OkStatus());
  server_.Stop();
  Until("/readyz", kUnavailable);
  EXPECT_THAT(Get("/startupz"), StartsWith(kOk));
  server_.Start();
  Until("/readyz", kOk);
  EXPECT_EQ(server_.WaitForWatchers(1), absl::OkStatus());
  EXPECT_TRUE(monitor_->WaitForLog("daemon found", 2)) << monitor_->log();
  EXPECT_EQ(monitor_->CountInLog("daemon lost"), 2) << monitor_->log();
  EXPECT_THAT(Get("/metrics"), HasSubstr("\nvfio_doorbell_monitor_watch_connects_total 2\n"));
}

TEST_F(MonitorTest, NoticesADaemonThatIsStuckWithinTenSeconds) {
  server_.Start();
  Start();
  Until("/livez", kOk);
  server_.Hold();
  EXPECT_LT(Until("/livez", kUnavailable), seconds(10));
  // What it is there for at such a time: it still answers, and says so.
  EXPECT_THAT(Get("/metrics"), HasSubstr("\nvfio_doorbell_monitor_daemon_up 0\n"));
  EXPECT_THAT(Get("/livez/monitor"), StartsWith(kOk));
  server_.Release();
  Until("/livez", kOk);
}

TEST_F(MonitorTest, EndsWhileTheDaemonIsStuck) {
  server_.Start();
  Start();
  Until("/livez", kOk);
  server_.Hold();
  std::string answer;
  std::thread asking([&] { answer = Get("/metrics"); });
  monitor_->Signal(SIGTERM);
  EXPECT_EQ(monitor_->Wait(), 0) << monitor_->log();
  asking.join();
}

TEST_F(MonitorTest, AsksTheDaemonOnceASecondHoweverManyAsk) {
  server_.Start();
  Start();
  Until("/livez", kOk);
  const int before = server_.state_calls();
  const auto begin = Clock::now();
  for (int i = 0; i < 200; ++i) EXPECT_THAT(Get("/readyz"), StartsWith(kOk));
  const auto took = std::chrono::duration_cast<seconds>(Clock::now() - begin);
  EXPECT_LE(server_.state_calls() - before, took.count() + 1);
}

TEST_F(MonitorTest, SaysThatItCannotListen) {
  Start();
  const auto second = Run({fmt::format("--http-address=127.0.0.1:{}", port_)});
  EXPECT_EQ(second->Wait(), 1);
  EXPECT_THAT(second->log(), HasSubstr(fmt::format("cannot listen at 127.0.0.1:{}:", port_)));
  const auto any = Run({"--http-address=0.0.0.0:0"});
  EXPECT_EQ(any->Wait(), 2);
  EXPECT_EQ(any->log(),
            "vfio-doorbell-monitor: --http-address: 0.0.0.0:0 is every address of this machine; "
            "name one of them, or add --http-any-address\n");
}

}  // namespace
}  // namespace dp::integration
