// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor/pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <map>
#include <string>
#include <thread>

#include "plugin/base/log.h"
#include "tests/fakes/fake_admin.h"
#include "tests/fakes/loop_thread.h"

namespace dp::monitor {
namespace {

namespace v1 = admin_client::v1;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

class PagesTest : public ::testing::Test {
 protected:
  PagesTest() { log::Configure(log::Level::kOff, log::Format::kText); }
  ~PagesTest() override {
    loop_.Stop();
    log::Configure(log::Level::kInfo, log::Format::kText);
  }

  // On a thread that is not the loop's, as the server calls it.
  HttpAnswer Get(const std::string& path) { return pages_.at(path)(); }

  // In which nothing is wrong.
  void AnswerWith(const absl::StatusOr<v1::NodeState>& state) {
    loop_.Do([&] { admin_.state_answer = state; });
  }

  fakes::LoopThread loop_;
  fakes::FakeAdmin admin_;
  admin_client::StateWatch watch_{loop_.loop(), admin_, {}};
  FactsOfState facts_;
  DaemonCheck check_{admin_, {.deadline = milliseconds(1000), .fresh = milliseconds(0)}};
  std::map<std::string, std::uint64_t> api_calls_;
  HttpServer::Pages pages_ = MakePages({.loop = loop_.loop(),
                                        .admin = admin_,
                                        .check = check_,
                                        .watch = watch_,
                                        .facts = facts_,
                                        .api_calls = [this] { return api_calls_; }},
                                       {.metrics = milliseconds(1000), .loop = milliseconds(200)});
};

TEST_F(PagesTest, AreWellWhenTheDaemonIs) {
  AnswerWith(v1::NodeState());
  EXPECT_EQ(Get("/livez").body, "[+]monitor ok\n[+]daemon ok\nlivez check passed\n");
  EXPECT_EQ(Get("/livez").code, 200);
  EXPECT_EQ(Get("/readyz").body,
            "[+]monitor ok\n[+]daemon ok\n[+]registered ok\n[+]ledger ok\n[+]verified ok\n"
            "readyz check passed\n");
  EXPECT_EQ(Get("/readyz").code, 200);
  EXPECT_EQ(Get("/startupz").code, 200);
}

TEST_F(PagesTest, SayWhyTheNodeIsNotReady) {
  v1::NodeState state;
  state.add_resources()->set_name("a.example/a");
  AnswerWith(state);
  const HttpAnswer answer = Get("/readyz");
  EXPECT_EQ(answer.code, 503);
  EXPECT_THAT(answer.body, HasSubstr("[-]registered: the kubelet does not watch a.example/a\n"));
  EXPECT_THAT(answer.body, HasSubstr("readyz check failed\n"));
  EXPECT_EQ(Get("/livez").code, 200);
}

TEST_F(PagesTest, TellALiveMonitorFromADeadDaemon) {
  AnswerWith(absl::DeadlineExceededError("the daemon at x has not answered within 3 s"));
  EXPECT_EQ(Get("/livez").code, 503);
  EXPECT_EQ(Get("/livez").body,
            "[+]monitor ok\n[-]daemon: the daemon at x has not answered within 3 s\n"
            "livez check failed\n");
  EXPECT_EQ(Get("/readyz").code, 503);
  EXPECT_EQ(Get("/startupz").code, 503);
  EXPECT_EQ(Get("/livez/monitor").code, 200);
}

TEST_F(PagesTest, StayStartedWhenTheDaemonGoes) {
  AnswerWith(v1::NodeState());
  EXPECT_EQ(Get("/startupz").code, 200);
  AnswerWith(absl::UnavailableError("gone"));
  EXPECT_EQ(Get("/livez").code, 503);
  EXPECT_EQ(Get("/startupz").code, 200);
}

TEST_F(PagesTest, NoticeThatTheirOwnLoopIsStuck) {
  std::promise<void> go_on;
  loop_.loop().Post([&] { go_on.get_future().wait(); });
  for (const char* path : {"/livez/monitor", "/metrics"}) {
    const HttpAnswer answer = Get(path);
    EXPECT_EQ(answer.code, 503) << path;
    EXPECT_THAT(answer.body, HasSubstr("[-]monitor: its loop does not turn\n")) << path;
  }
  go_on.set_value();
  EXPECT_EQ(Get("/livez/monitor").code, 200);
}

TEST_F(PagesTest, ShowTheDaemonsMetricsAndTheirOwn) {
  v1::GetMetricsResponse metrics;
  v1::MetricFamily& family = *metrics.add_families();
  family.set_name("vfio_doorbell_pool_windows");
  family.set_type(v1::METRIC_GAUGE);
  family.add_metrics()->set_value(12);
  loop_.Do([&] {
    admin_.metrics_answer = metrics;
    api_calls_ = {{"ok", 3}};
    watch_.Add(facts_);
    watch_.Start();
    admin_.streams[0].changed(v1::NodeState());
  });
  const HttpAnswer answer = Get("/metrics");
  EXPECT_EQ(answer.code, 200);
  EXPECT_THAT(answer.body, HasSubstr("\nvfio_doorbell_pool_windows 12\n"));
  EXPECT_THAT(answer.body, HasSubstr("\nvfio_doorbell_monitor_daemon_up 1\n"));
  EXPECT_THAT(answer.body, HasSubstr("\nvfio_doorbell_monitor_watch_connected 1\n"));
  EXPECT_THAT(answer.body, HasSubstr("\nvfio_doorbell_monitor_fact{fact=\"registered\"} 1\n"));
  EXPECT_THAT(answer.body, HasSubstr("\nvfio_doorbell_monitor_api_calls_total{result=\"ok\"} 3\n"));
}

TEST_F(PagesTest, ShowTheirOwnMetricsWithoutADaemon) {
  loop_.Do([&] {
    admin_.metrics_answer = absl::UnavailableError("gone");
    watch_.Add(facts_);
    watch_.Start();
    admin_.streams[0].changed(v1::NodeState());
    admin_.streams[0].ended(absl::UnavailableError("gone"));
  });
  const HttpAnswer answer = Get("/metrics");
  EXPECT_EQ(answer.code, 200);
  EXPECT_THAT(answer.body, HasSubstr("\nvfio_doorbell_monitor_daemon_up 0\n"));
  EXPECT_THAT(answer.body, Not(HasSubstr("vfio_doorbell_monitor_fact")));
}

}  // namespace
}  // namespace dp::monitor
