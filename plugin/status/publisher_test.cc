// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plugin/base/log.h"
#include "plugin/kube/rest_api.h"
#include "tests/fakes/fake_api_server.h"
#include "tests/fakes/loop_thread.h"
#include "tests/fakes/node_states.h"

namespace dp::status {
namespace {

using Answer = fakes::FakeApiServer::Answer;
using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

constexpr char kNode[] = "/api/v1/nodes/node-a";
constexpr char kObject[] = "/apis/vfio-doorbell.io/v1alpha1/doorbellnodes/node-a";

// A whole publisher, on a loop of its own.
class Running {
 public:
  Running(fakes::FakeApiServer& server, Publisher::Pace pace)
      : api_({.url = server.url(), .token_file = {}, .ca_file = {}, .timeout = seconds(60)}),
        pass_(api_, {.node = "node-a", .feature_file = {}, .heartbeat = pace.heartbeat},
              {.steady = steady_clock::now, .wall = [] { return fakes::TimeAt(0); }}),
        publisher_(loop_.loop(), pass_, {Part::kCondition, Part::kEvents, Part::kObject}, pace,
                   {.cancel = [this] { api_.Cancel(); },
                    .reopen = [this] { api_.Reopen(); },
                    .passed = [](const Outcome&) {}}) {}
  ~Running() {
    Stop();
    loop_.Stop();
  }

  void Show(const NodeState& state) {
    loop_.Do([&] { publisher_.Show(state); });
  }
  void Silence(const std::string& why) {
    loop_.Do([&] { publisher_.Silence(why); });
  }
  // Whether it ends within ten seconds.
  bool Stop() {
    if (stopped_) return true;
    auto stopped = std::make_shared<std::promise<void>>();
    loop_.Do([&] { publisher_.Stop([stopped] { stopped->set_value(); }); });
    stopped_ = stopped->get_future().wait_for(seconds(10)) == std::future_status::ready;
    return stopped_;
  }

 private:
  fakes::LoopThread loop_;
  kube::RestApi api_;
  Pass pass_;
  Publisher publisher_;
  bool stopped_ = false;
};

class PublisherTest : public ::testing::Test {
 protected:
  PublisherTest() {
    log::Configure(log::Level::kOff, log::Format::kText);
    server_.Put(kNode, {{"metadata", {{"name", "node-a"}, {"uid", "uid-1"}}},
                        {"status", {{"conditions", Json::array()}}}});
  }
  fakes::FakeApiServer server_;
  const Publisher::Pace quick_{.least = milliseconds(1),
                               .first_retry = milliseconds(1),
                               .longest_retry = milliseconds(20),
                               .deadline = seconds(60),
                               .silence = milliseconds(1)};
};

NodeState StateWith(std::vector<Occurrence> occurrences) {
  NodeState state = fakes::GoodState(2);
  state.occurrences = std::move(occurrences);
  return state;
}

TEST_F(PublisherTest, TellsEachThingOnceHoweverOftenItIsShown) {
  Running running(server_, quick_);
  for (std::uint64_t i = 1; i <= 20; ++i) {
    std::vector<Occurrence> all;
    for (std::uint64_t k = 1; k <= i; ++k) all.push_back(fakes::OccurrenceAt(k, "lost"));
    running.Show(StateWith(all));
  }
  ASSERT_TRUE(server_.WaitForCount("PATCH", kObject, 1));
  running.Show(StateWith({fakes::OccurrenceAt(21, "other")}));
  ASSERT_TRUE(server_.WaitForCount("POST", "/events", 2));
  ASSERT_TRUE(running.Stop());
  int count = 0;
  for (const Json& event : server_.All("/events/")) {
    if (event["note"] == "lost") count = event["series"]["count"];
  }
  EXPECT_EQ(count, 20);
}

TEST_F(PublisherTest, WritesAtMostOnceInItsTime) {
  Running running(server_, {.least = milliseconds(200),
                            .first_retry = milliseconds(1),
                            .longest_retry = milliseconds(20),
                            .deadline = seconds(60),
                            .silence = milliseconds(1)});
  const auto start = steady_clock::now();
  // Each is another one.
  for (std::uint32_t i = 1; server_.Count("PATCH", kObject) < 5; ++i) {
    NodeState state = fakes::GoodState(2);
    state.devices[0] = fakes::StartedDevice(0, "vm" + std::to_string(i));
    running.Show(state);
    ASSERT_LT(steady_clock::now() - start, seconds(30));
  }
  EXPECT_GE(steady_clock::now() - start, milliseconds(4 * 200));
}

TEST_F(PublisherTest, ShowsTheLastStateInTheEnd) {
  Running running(server_, quick_);
  running.Show(fakes::GoodState(2));
  server_.BeforeNext("PATCH", kObject, [&] { running.Show(fakes::GoodState(7)); });
  ASSERT_TRUE(server_.WaitForCount("PATCH", kObject, 2));
  EXPECT_EQ(server_.At(kObject)["status"]["devices"].size(), 7U);
}

TEST_F(PublisherTest, SaysThatTheDaemonIsSilent) {
  Running running(server_, quick_);
  running.Silence("connection refused");
  ASSERT_TRUE(server_.WaitForCount("PATCH", kNode, 2));
  EXPECT_EQ(server_.At(kNode)["status"]["conditions"][0]["reason"], "DaemonSilent");
  running.Show(fakes::GoodState(2));
  ASSERT_TRUE(server_.WaitForCount("PATCH", kNode, 3));
  EXPECT_EQ(server_.At(kNode)["status"]["conditions"][0]["reason"], "Ready");
}

TEST_F(PublisherTest, TellsNobodyOfADaemonThatIsOnlyRestarted) {
  Publisher::Pace pace = quick_;
  pace.silence = seconds(3600);
  Running running(server_, pace);
  running.Silence("connection refused");
  running.Show(fakes::GoodState(2));
  ASSERT_TRUE(server_.WaitForCount("PATCH", kObject, 1));
  running.Silence("connection refused");
  running.Show(fakes::GoodState(3));
  ASSERT_TRUE(server_.WaitForCount("PATCH", kObject, 2));
  EXPECT_EQ(server_.At(kNode)["status"]["conditions"][0]["reason"], "Ready");
  EXPECT_EQ(server_.Count("PATCH", kNode), 3) << "looked, told, told that there are three devices";
}

TEST_F(PublisherTest, KeepsTheFirstReasonOfASilence) {
  Running running(server_, quick_);
  running.Silence("try 1");
  ASSERT_TRUE(server_.WaitForCount("PATCH", kNode, 2));
  for (int i = 2; i < 10; ++i) running.Silence("try " + std::to_string(i));
  ASSERT_TRUE(running.Stop());
  EXPECT_THAT(server_.At(kNode)["status"]["conditions"][0]["message"].get<std::string>(),
              HasSubstr("try 1"));
  EXPECT_EQ(server_.Count("PATCH", kNode), 2);
}

TEST_F(PublisherTest, LooksAfterItsWorkAtTheHeartbeat) {
  Publisher::Pace pace = quick_;
  pace.heartbeat = milliseconds(50);
  Running running(server_, pace);
  running.Show(fakes::GoodState(2));
  ASSERT_TRUE(server_.WaitForCount("PATCH", kObject, 1));
  server_.Remove(kObject);
  ASSERT_TRUE(server_.WaitForCount("PATCH", kObject, 2));
  EXPECT_EQ(server_.At(kObject)["status"]["devices"].size(), 2U);
}

TEST_F(PublisherTest, LogsAnOutageOnce) {
  log::Configure(log::Level::kInfo, log::Format::kText);
  ::testing::internal::CaptureStderr();
  server_.Inject({.method = {}, .path = "/", .code = 503, .text = "later", .times = 12});
  {
    Running running(server_, quick_);
    running.Show(StateWith({fakes::OccurrenceAt(1, "lost")}));
    EXPECT_TRUE(server_.WaitForCount("PATCH", kObject, 1));
    EXPECT_TRUE(running.Stop());
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  log::Configure(log::Level::kOff, log::Format::kText);
  const auto count = [&](const std::string& text) {
    int found = 0;
    for (std::size_t at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) {
      ++found;
    }
    return found;
  };
  EXPECT_EQ(count("not in step"), 1) << log;
  EXPECT_THAT(log, HasSubstr("reason=unreachable parts=condition,events,object"));
  EXPECT_THAT(log, HasSubstr("503: later"));
  EXPECT_EQ(server_.All("/events/").size(), 1U);
}

TEST_F(PublisherTest, WaitsLongerEachTime) {
  server_.Inject({.method = {}, .path = "/", .code = 500, .text = {}, .times = 9});
  Running running(server_, {.least = milliseconds(1),
                            .first_retry = milliseconds(1),
                            .longest_retry = seconds(100),
                            .deadline = seconds(60),
                            .silence = milliseconds(1)});
  const auto start = steady_clock::now();
  running.Show(fakes::GoodState(2));
  ASSERT_TRUE(server_.WaitForCount("PATCH", kObject, 1));
  // 1 + 2 + 4 + ... + 256
  EXPECT_GE(steady_clock::now() - start, milliseconds(500));
}

TEST_F(PublisherTest, LeavesTheServerAloneForAsLongAsItAsks) {
  server_.Inject({.method = {}, .path = "/", .code = 429, .text = {}, .retry_after = "1"});
  Running running(server_, quick_);
  const auto start = steady_clock::now();
  running.Show(fakes::GoodState(2));
  ASSERT_TRUE(server_.WaitForCount("", "/", 1));
  // News does not make it come earlier.
  running.Show(fakes::GoodState(3));
  ASSERT_TRUE(server_.WaitForCount("PATCH", kObject, 1));
  EXPECT_GE(steady_clock::now() - start, seconds(1));
  EXPECT_EQ(server_.At(kObject)["status"]["devices"].size(), 3U);
}

TEST_F(PublisherTest, LetsTheOthersGoOnWhenOneMustWait) {
  server_.Inject({.method = "POST", .path = "/events", .code = 403, .text = {}, .times = 99});
  Running running(server_, quick_);
  running.Show(StateWith({fakes::OccurrenceAt(1, "lost")}));
  ASSERT_TRUE(server_.WaitForCount("PATCH", kObject, 1));
  for (int i = 3; i < 6; ++i) {
    running.Show(fakes::GoodState(static_cast<std::uint32_t>(i)));
    ASSERT_TRUE(server_.WaitForCount("PATCH", kObject, i - 1));
  }
}

TEST_F(PublisherTest, GivesUpAPassThatTakesTooLong) {
  server_.Inject({.method = {}, .path = kNode, .answer = Answer::kNone, .text = {}});
  Publisher::Pace pace = quick_;
  pace.deadline = milliseconds(200);
  Running running(server_, pace);
  running.Show(fakes::GoodState(2));
  ASSERT_TRUE(server_.WaitForCount("PATCH", kObject, 1));
}

TEST_F(PublisherTest, EndsWhileTheApiServerSaysNothing) {
  server_.Inject({.method = {}, .path = kNode, .answer = Answer::kNone, .text = {}});
  Running running(server_, quick_);
  running.Show(fakes::GoodState(2));
  ASSERT_TRUE(server_.WaitForCount("PATCH", kNode, 1));
  EXPECT_TRUE(running.Stop());
}

// The loop belongs to all of the program: nothing of it may wait for the API server.
TEST_F(PublisherTest, HoldsNobodyUp) {
  server_.Inject({.method = {}, .path = "/", .answer = Answer::kNone, .text = {}, .times = 99});
  Running running(server_, quick_);
  running.Show(fakes::GoodState(2));
  ASSERT_TRUE(server_.WaitForCount("", "/", 1));
  const auto start = steady_clock::now();
  for (int i = 0; i < 10; ++i) running.Show(fakes::GoodState(256));
  EXPECT_LT(steady_clock::now() - start, seconds(5));
}

TEST(PaceTest, SpreadsNodesOverTime) {
  EXPECT_EQ(PaceOf("node-a").first_retry, PaceOf("node-a").first_retry);
  EXPECT_NE(PaceOf("node-a").first_retry, PaceOf("node-b").first_retry);
  for (const char* node : {"a", "b", "c"}) {
    EXPECT_GE(PaceOf(node).longest_retry, seconds(60));
    EXPECT_LT(PaceOf(node).longest_retry, seconds(90));
  }
}

}  // namespace
}  // namespace dp::status
