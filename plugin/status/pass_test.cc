// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/pass.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "plugin/kube/rest_api.h"
#include "tests/fakes/fake_api_server.h"
#include "tests/fakes/node_states.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::status {
namespace {

using Answer = fakes::FakeApiServer::Answer;
using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kNode[] = "/api/v1/nodes/node-a";
constexpr char kObject[] = "/apis/vfio-doorbell.io/v1alpha1/doorbellnodes/node-a";
constexpr char kEvents[] = "/events/";

class PassTest : public ::testing::Test {
 protected:
  PassTest() {
    PutNode("uid-1");
    Begin({.node = "node-a", .feature_file = {}});
    wanted_.state = std::make_shared<const NodeState>(fakes::GoodState(2));
  }

  void PutNode(const std::string& uid) {
    server_.Put(
        kNode,
        {{"kind", "Node"},
         {"metadata", {{"name", "node-a"}, {"uid", uid}}},
         {"status", {{"conditions", Json::array({{{"type", "Ready"}, {"status", "True"}}})}}}});
  }
  // Another monitor.
  void Begin(Options options) {
    options_ = std::move(options);
    pass_ = std::make_unique<Pass>(
        api_, options_,
        Pass::Clocks{.steady = [this] { return std::chrono::steady_clock::time_point(now_); },
                     .wall = [this] { return fakes::TimeAt(0) + now_; }});
  }
  // The states of condition, events and object after it, as far as they are switched on.
  std::vector<std::string> Run() {
    std::vector<Part> due;
    for (const Part part : kParts) {
      if (IsOn(options_, part)) due.push_back(part);
    }
    last_ = pass_->Run(wanted_, due);
    wanted_.occurrences.clear();
    std::vector<std::string> states;
    for (const Report& report : last_.reports)
      states.emplace_back(report.reason.empty() ? "in_step" : report.reason);
    return states;
  }
  void Happens(Occurrence occurrence) {
    occurrence.time += now_;
    wanted_.occurrences.push_back(std::move(occurrence));
  }
  void Change() {
    NodeState state = *wanted_.state;
    state.devices[0] =
        state.devices[0].window ? fakes::FreeDevice(0) : fakes::StartedDevice(0, "vm");
    wanted_.state = std::make_shared<const NodeState>(std::move(state));
  }
  Json Condition() { return FindIn(server_.At(kNode)); }
  static Json FindIn(const Json& node) {
    for (const Json& condition : node["status"]["conditions"]) {
      if (condition["type"] == "VfioDoorbellReady") return condition;
    }
    return nullptr;
  }

  fakes::FakeApiServer server_;
  kube::RestApi api_{
      {.url = server_.url(), .token_file = {}, .ca_file = {}, .timeout = seconds(2)}};
  seconds now_{0};
  Options options_;
  std::unique_ptr<Pass> pass_;
  Wanted wanted_;
  Outcome last_;
};

TEST_F(PassTest, TellsAllOfIt) {
  Happens(fakes::OccurrenceAt(1, "lost"));
  EXPECT_THAT(Run(), ElementsAre("in_step", "in_step", "in_step"));
  EXPECT_EQ(Condition()["status"], "True");
  EXPECT_EQ(server_.At(kNode)["status"]["conditions"].size(), 2U) << "the kubelet's stays";
  const Json object = server_.At(kObject);
  EXPECT_EQ(object["metadata"]["ownerReferences"][0]["uid"], "uid-1");
  EXPECT_EQ(object["status"]["devices"].size(), 2U);
  EXPECT_EQ(object["status"]["told"]["sequence"], 1);
  ASSERT_THAT(server_.All(kEvents), SizeIs(1));
  EXPECT_EQ(server_.All(kEvents)[0]["regarding"]["uid"], "uid-1");
}

TEST_F(PassTest, WritesNothingWhileNothingChanges) {
  Run();
  const int writes = server_.Writes();
  for (int i = 0; i < 5; ++i) Run();
  EXPECT_EQ(server_.Writes(), writes);
  EXPECT_EQ(server_.Count("GET"), 1);
}

TEST_F(PassTest, WritesTheObjectAloneWhenAPodComes) {
  Run();
  const int writes = server_.Writes();
  Change();
  Run();
  EXPECT_EQ(server_.Writes(), writes + 1);
  EXPECT_EQ(server_.At(kObject)["status"]["devices"][0]["pod"], "vms/vm");
}

TEST_F(PassTest, TellsOnlyWhatIsSwitchedOn) {
  Happens(fakes::OccurrenceAt(1, "lost"));
  Begin({.node = "node-a", .condition = false, .object = false, .feature_file = {}});
  EXPECT_THAT(Run(), ElementsAre("in_step"));
  EXPECT_THAT(server_.All(kEvents), SizeIs(1));
  EXPECT_EQ(server_.At(kObject), nullptr);
  EXPECT_EQ(Condition(), nullptr);
}

TEST_F(PassTest, NeedsNoApiServerForTheFeatureFile) {
  const fakes::TemporaryFolder folder;
  const std::string path = folder.path() + "/vfio-doorbell";
  Begin({.node = "node-a",
         .condition = false,
         .events = false,
         .object = false,
         .feature_file = path});
  EXPECT_THAT(Run(), ElementsAre("in_step"));
  EXPECT_EQ(server_.Count(""), 0);
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  EXPECT_THAT(content.str(), HasSubstr("knob=true"));
  Begin({.node = "node-a", .feature_file = "/nowhere/f"});
  EXPECT_THAT(Run(), ElementsAre("not_written", "in_step", "in_step", "in_step"));
  EXPECT_THAT(last_.reports[0].text, HasSubstr("/nowhere/"));
}

TEST_F(PassTest, KeepsTheTransitionOverARestart) {
  Run();
  const Json before = Condition();
  now_ = seconds(60);
  Begin(options_);
  Run();
  EXPECT_EQ(Condition(), before) << "the same: not even the heartbeat is due";
  NodeState state = *wanted_.state;
  state.daemon.config_error = "no";
  wanted_.state = std::make_shared<const NodeState>(state);
  Run();
  EXPECT_EQ(Condition()["reason"], "ConfigRefused");
  EXPECT_EQ(Condition()["lastTransitionTime"], before["lastTransitionTime"]);
  state.daemon.ledger_error = "no";
  wanted_.state = std::make_shared<const NodeState>(state);
  Run();
  EXPECT_EQ(Condition()["lastTransitionTime"], "2026-11-26T12:01:00Z");
}

TEST_F(PassTest, BeatsRarely) {
  Run();
  now_ = seconds(599);
  Run();
  EXPECT_EQ(Condition()["lastHeartbeatTime"], "2026-11-26T12:00:00Z");
  now_ = seconds(600);
  Run();
  EXPECT_EQ(Condition()["lastHeartbeatTime"], "2026-11-26T12:10:00Z");
  EXPECT_EQ(Condition()["lastTransitionTime"], "2026-11-26T12:00:00Z");
}

TEST_F(PassTest, RepairsWhatSomebodyHasChanged) {
  Run();
  server_.Remove(kObject);
  PutNode("uid-2");
  now_ = seconds(600);
  Run();
  EXPECT_EQ(Condition()["status"], "True");
  EXPECT_EQ(server_.At(kObject)["status"]["devices"].size(), 2U);
  EXPECT_EQ(server_.At(kObject)["metadata"]["ownerReferences"][0]["uid"], "uid-2");
  // At once, if it is to be written anyway.
  server_.Remove(kObject);
  Change();
  Run();
  EXPECT_EQ(server_.At(kObject)["status"]["devices"].size(), 2U);
}

TEST_F(PassTest, SaysThatTheDaemonIsSilentAndKeepsTheDevices) {
  Run();
  wanted_.silent = "connection refused";
  Run();
  EXPECT_EQ(Condition()["status"], "Unknown");
  EXPECT_EQ(server_.At(kObject)["status"]["ready"], "Unknown");
  EXPECT_EQ(server_.At(kObject)["status"]["devices"].size(), 2U);
  // A monitor that has never heard the daemon knows them from the object.
  NodeState nobody;
  Begin(options_);
  wanted_.state = nullptr;
  wanted_.silent = "no such file";
  EXPECT_THAT(Run(), ElementsAre("in_step", "in_step", "in_step"));
  EXPECT_THAT(server_.At(kObject)["status"]["message"].get<std::string>(),
              HasSubstr("no such file"));
  EXPECT_EQ(server_.At(kObject)["status"]["devices"].size(), 2U);
}

TEST_F(PassTest, MakesNoObjectForADaemonThatWasNeverHeard) {
  wanted_.state = nullptr;
  wanted_.silent = "no such file";
  EXPECT_THAT(Run(), ElementsAre("in_step", "in_step", "in_step"));
  EXPECT_EQ(server_.At(kObject), nullptr);
  EXPECT_EQ(Condition()["status"], "Unknown");
}

TEST_F(PassTest, CountsOneEvent) {
  Happens(fakes::OccurrenceAt(1, "lost"));
  Run();
  Happens(fakes::OccurrenceAt(2, "lost"));
  Happens(fakes::OccurrenceAt(3, "lost"));
  Run();
  ASSERT_THAT(server_.All(kEvents), SizeIs(1));
  EXPECT_EQ(server_.All(kEvents)[0]["series"]["count"], 3);
  EXPECT_EQ(last_.counters.events, 2U);
}

TEST_F(PassTest, CreatesAnEventAgainThatTheServerHasForgotten) {
  Happens(fakes::OccurrenceAt(1, "lost"));
  Run();
  const std::string path = "/apis/events.k8s.io/v1/namespaces/default/events/" +
                           server_.All(kEvents)[0]["metadata"]["name"].get<std::string>();
  server_.Remove(path);
  Happens(fakes::OccurrenceAt(2, "lost"));
  EXPECT_THAT(Run(), ElementsAre("in_step", "in_step", "in_step"));
  ASSERT_THAT(server_.All(kEvents), SizeIs(1));
  EXPECT_EQ(server_.All(kEvents)[0]["series"]["count"], 2);
}

TEST_F(PassTest, TellsNothingTwiceAfterARestart) {
  Happens(fakes::OccurrenceAt(1, "lost"));
  Happens(fakes::OccurrenceAt(2, "lost"));
  Run();
  const std::vector<Json> before = server_.All(kEvents);
  Begin(options_);
  Happens(fakes::OccurrenceAt(1, "lost"));
  Happens(fakes::OccurrenceAt(2, "lost"));
  Run();
  EXPECT_EQ(server_.All(kEvents), before);
  // Nor without the object, in which it stands: the Event has the same name.
  Begin({.node = "node-a", .object = false, .feature_file = {}});
  Happens(fakes::OccurrenceAt(1, "lost"));
  Run();
  EXPECT_EQ(server_.All(kEvents), before);
}

TEST_F(PassTest, DoesNotTellTwiceWhatWasDoneUnheard) {
  server_.Inject(
      {.method = "POST", .path = "/events", .answer = Answer::kDoneThenHangUp, .text = {}});
  Happens(fakes::OccurrenceAt(1, "lost"));
  EXPECT_THAT(Run(), ElementsAre("in_step", "unreachable", "unreachable"));
  EXPECT_THAT(Run(), ElementsAre("in_step", "in_step", "in_step"));
  EXPECT_THAT(server_.All(kEvents), SizeIs(1));
  EXPECT_EQ(last_.counters.events, 1U);
}

TEST_F(PassTest, KnowsThePodsUidIfItMay) {
  server_.Put("/api/v1/namespaces/vms/pods/vm",
              {{"metadata", {{"name", "vm"}, {"uid", "uid-of-vm"}}}});
  Begin({.node = "node-a", .feature_file = {}, .pod_uids = true});
  Happens(fakes::PodOccurrenceAt(1, "vm", "reserved"));
  Run();
  EXPECT_EQ(server_.All(kEvents)[0]["regarding"]["uid"], "uid-of-vm");
  // Without the right it asks once.
  server_.Inject({.method = "GET", .path = "/pods/", .code = 403, .text = {}, .times = 9});
  Happens(fakes::PodOccurrenceAt(2, "vm2", "reserved"));
  Happens(fakes::PodOccurrenceAt(3, "vm3", "reserved"));
  EXPECT_THAT(Run(), ElementsAre("in_step", "in_step", "in_step"));
  EXPECT_THAT(server_.All(kEvents), SizeIs(3));
  EXPECT_EQ(server_.Count("GET", "/pods/"), 2);
}

TEST_F(PassTest, DoesNotAskForPodsOtherwise) {
  Happens(fakes::PodOccurrenceAt(1, "vm", "reserved"));
  Run();
  EXPECT_EQ(server_.Count("GET", "/pods/"), 0);
  EXPECT_FALSE(server_.All(kEvents)[0]["regarding"].contains("uid"));
}

// A part that is refused does not hold up the others.
TEST_F(PassTest, GoesOnWithTheOthersWhenOneIsForbidden) {
  server_.Inject({.method = "PATCH", .path = kNode, .code = 403, .text = "no", .times = 99});
  Happens(fakes::OccurrenceAt(1, "lost"));
  EXPECT_THAT(Run(), ElementsAre("forbidden", "in_step", "forbidden"));
  EXPECT_THAT(last_.reports[0].text, HasSubstr("403: no"));
  EXPECT_THAT(server_.All(kEvents), SizeIs(1));
}

TEST_F(PassTest, HoldsForbiddenEventsUntilTheRightIsThere) {
  server_.Inject({.method = "POST", .path = "/events", .code = 403, .text = "no", .times = 3});
  Happens(fakes::OccurrenceAt(1, "lost"));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Run(), ElementsAre("in_step", "forbidden", "in_step"));
  EXPECT_THAT(Run(), ElementsAre("in_step", "in_step", "in_step"));
  EXPECT_THAT(server_.All(kEvents), SizeIs(1));
  EXPECT_EQ(last_.counters.events_dropped, 0U);
}

TEST_F(PassTest, DropsAnEventThatIsRefusedForGood) {
  server_.Inject({.method = "POST", .path = "/vms/events", .code = 422, .text = "bad"});
  server_.Inject({.method = "POST", .path = "/vms/events", .code = 404, .text = "no namespace"});
  Happens(fakes::PodOccurrenceAt(1, "vm", "a"));
  Happens(fakes::PodOccurrenceAt(2, "vm", "b"));
  Happens(fakes::OccurrenceAt(3, "lost"));
  EXPECT_THAT(Run(), ElementsAre("in_step", "refused", "in_step"));
  EXPECT_THAT(server_.All(kEvents), SizeIs(1)) << "the third one is not held up";
  EXPECT_EQ(last_.counters.events_dropped, 2U);
  EXPECT_THAT(Run(), ElementsAre("in_step", "in_step", "in_step"));
  EXPECT_EQ(server_.At(kObject)["status"]["told"]["sequence"], 3);
}

struct Fault {
  const char* name;
  fakes::FakeApiServer::Fault fault;
  const char* state;
};

class PassFaultTest : public PassTest, public ::testing::WithParamInterface<Fault> {};

// Whatever call meets it: nothing is lost, and all is right afterwards.
TEST_P(PassFaultTest, IsRightAgainAfterwards) {
  fakes::FakeApiServer::Fault fault = GetParam().fault;
  std::uint64_t sequence = 0;
  // The last one has a create only.
  for (const char* path : {kNode, kObject, "/doorbellnodes", "/events"}) {
    if (fault.method == "PATCH" && std::string(path) == "/events") continue;
    SCOPED_TRACE(path);
    server_.Remove(kObject);
    Begin(options_);
    fault.path = path;
    // Each costs the time after which the client gives up.
    fault.times = fault.answer == Answer::kNone ? 1 : 3;
    server_.Inject(fault);
    ++sequence;
    Happens(fakes::PodOccurrenceAt(sequence, "vm", "n" + std::to_string(sequence)));
    EXPECT_THAT(Run(), ::testing::Contains(GetParam().state));
    constexpr int kMostRuns = 5;
    for (int i = 0; i < kMostRuns && Run() != std::vector<std::string>(3, "in_step"); ++i) {
    }
    EXPECT_THAT(Run(), ElementsAre("in_step", "in_step", "in_step"));
    EXPECT_EQ(Condition()["status"], "True");
    EXPECT_EQ(server_.At(kObject)["status"]["devices"].size(), 2U);
    EXPECT_EQ(server_.At(kObject)["status"]["told"]["sequence"], sequence);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, PassFaultTest,
    ::testing::Values(
        Fault{
            "None", {.method = {}, .path = {}, .answer = Answer::kNone, .text = {}}, "unreachable"},
        Fault{"HangUp",
              {.method = {}, .path = {}, .answer = Answer::kHangUp, .text = {}},
              "unreachable"},
        Fault{
            "Half", {.method = {}, .path = {}, .answer = Answer::kHalf, .text = {}}, "unreachable"},
        Fault{"Garbage",
              {.method = {}, .path = {}, .answer = Answer::kGarbage, .text = "<html>"},
              "broken"},
        Fault{"EmptyObject",
              {.method = "PATCH", .path = {}, .answer = Answer::kGarbage, .text = "{}"},
              "broken"},
        Fault{"Forbidden", {.method = {}, .path = {}, .code = 403, .text = {}}, "forbidden"},
        Fault{"Unauthorized", {.method = {}, .path = {}, .code = 401, .text = {}}, "forbidden"},
        Fault{"Conflict", {.method = "PATCH", .path = {}, .code = 409, .text = {}}, "conflict"},
        Fault{"Unprocessable", {.method = {}, .path = {}, .code = 422, .text = {}}, "refused"},
        Fault{"TooMany",
              {.method = {}, .path = {}, .code = 429, .text = {}, .retry_after = "3"},
              "unreachable"},
        Fault{"Failing", {.method = {}, .path = {}, .code = 500, .text = {}}, "unreachable"}),
    [](const auto& its) { return std::string(its.param.name); });

TEST_F(PassTest, AsksAServerThatDoesNotAnswerOnce) {
  Run();
  server_.Inject({.method = {}, .path = "/", .answer = Answer::kHangUp, .text = {}, .times = 1});
  Change();
  NodeState state = *wanted_.state;
  state.daemon.config_error = "no";
  wanted_.state = std::make_shared<const NodeState>(std::move(state));
  const int calls = server_.Count("");
  EXPECT_THAT(Run(), ElementsAre("unreachable", "unreachable", "unreachable"));
  EXPECT_EQ(server_.Count(""), calls + 1);
  EXPECT_THAT(Run(), ElementsAre("in_step", "in_step", "in_step"));
}

TEST_F(PassTest, PassesOnHowLongToWait) {
  server_.Inject({.method = "PATCH", .path = kNode, .code = 429, .text = {}, .retry_after = "7"});
  EXPECT_THAT(Run(), ElementsAre("unreachable", "unreachable", "unreachable"));
  for (const Report& report : last_.reports) EXPECT_EQ(report.pause, seconds(7));
  server_.Inject(
      {.method = "PATCH", .path = kNode, .code = 429, .text = {}, .retry_after = "999999"});
  Run();
  EXPECT_EQ(last_.reports[0].pause, std::chrono::minutes(10));
}

TEST_F(PassTest, WaitsForTokensOfAnObject) {
  for (std::uint64_t i = 1; i <= 30; ++i) {
    Happens(fakes::OccurrenceAt(i, "lost"));
    wanted_.occurrences.back().reason = "reason" + std::string(i, 'a');
  }
  EXPECT_THAT(Run(), ElementsAre("in_step", "in_step", "in_step"));
  EXPECT_THAT(server_.All(kEvents), SizeIs(25));
  EXPECT_EQ(last_.reports[1].again, seconds(300));
  now_ = seconds(300);
  Run();
  EXPECT_THAT(server_.All(kEvents), SizeIs(26));
}

TEST_F(PassTest, WritesALargeObjectMoreRarely) {
  wanted_.state = std::make_shared<const NodeState>(fakes::GoodState(4096));
  Run();
  const auto bytes = server_.At(kObject)["status"].dump().size();
  EXPECT_EQ(last_.reports[2].pause, milliseconds(1000 * bytes / 65536));
  EXPECT_GT(last_.reports[2].pause, seconds(5));
}

}  // namespace
}  // namespace dp::status
