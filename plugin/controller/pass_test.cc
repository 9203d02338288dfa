// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/pass.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "plugin/controller/mark.h"
#include "plugin/kube/rest_api.h"
#include "tests/fakes/fake_api_server.h"

namespace dp::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Answer = fakes::FakeApiServer::Answer;
using Json = nlohmann::json;
using std::chrono::seconds;

const Permit kNvme{"1B36:0010", "vendor.example/nvme"};

// An instance of the controller, without its loop.
class Instance {
 public:
  Instance(fakes::FakeApiServer& server, const std::string& identity, Target target = {})
      : api_({.url = server.url(), .token_file = {}, .ca_file = {}, .timeout = seconds(2)}),
        lease_(api_, {.space = "space", .name = "name", .identity = identity}, seconds(15),
               {.steady = [this] { return now_; }, .wall = std::chrono::system_clock::now}),
        pass_(api_, lease_, std::move(target)) {}

  Outcome Run(const std::vector<Permit>& permits = {kNvme}) { return pass_.Run(permits); }
  Pass& pass() { return pass_; }
  Lease& lease() { return lease_; }
  void Sleep(seconds time) { now_ += time; }

 private:
  kube::RestApi api_;
  std::chrono::steady_clock::time_point now_{seconds(1000)};
  Lease lease_;
  Pass pass_;
};

class PassTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.PutKubeVirt("kubevirt", Json::object());
    server_.PutNode("n1", {{"vendor.example/nvme", "2"}});
  }
  [[nodiscard]] Json Devices() {
    const Json cr = server_.KubeVirt("kubevirt");
    return cr.value(Json::json_pointer(kPciDevices), Json::array());
  }

  fakes::FakeApiServer server_;
  Instance instance_{server_, "first"};
};

TEST_F(PassTest, BringsKubeVirtInStep) {
  const Outcome outcome = instance_.Run();
  EXPECT_EQ(outcome.state, State::kInStep) << outcome.text;
  EXPECT_EQ(outcome.patched, 1);
  EXPECT_THAT(Devices(), SizeIs(1));
  EXPECT_EQ(server_.Count("PATCH"), 1);
}

TEST_F(PassTest, WritesNothingWhenNothingIsToBeChanged) {
  ASSERT_EQ(instance_.Run().patched, 1);
  const int writes = server_.Writes();
  EXPECT_EQ(writes, 2) << "the lease and the patch";
  for (int i = 0; i < 100; ++i) {
    instance_.Sleep(seconds(30));
    ASSERT_EQ(instance_.Run().state, State::kInStep);
  }
  EXPECT_EQ(server_.Writes(), writes);
  EXPECT_EQ(server_.Count("GET", "/api/v1/nodes"), 1) << "nodes matter only for what is new";
}

TEST_F(PassTest, WritesNothingWhileNoNodeOffersIt) {
  server_.PutNode("n1", {{"cpu", "4"}});
  const Outcome outcome = instance_.Run();
  EXPECT_EQ(outcome.state, State::kInStep);
  EXPECT_THAT(outcome.waiting, ElementsAre("vendor.example/nvme"));
  EXPECT_EQ(server_.Writes(), 0);
}

TEST_F(PassTest, LosesNoChangeThatComesInBetween) {
  const Json foreign{{"pciVendorSelector", "8086:1572"}, {"resourceName", "intel.example/nic"}};
  server_.BeforeNext("PATCH", "/kubevirts/", [&] {
    server_.PutKubeVirt(
        "kubevirt", {{"configuration",
                      {{"permittedHostDevices", {{"pciHostDevices", Json::array({foreign})}}}}}});
  });
  const Outcome outcome = instance_.Run();
  EXPECT_EQ(outcome.state, State::kInStep) << outcome.text;
  ASSERT_THAT(Devices(), SizeIs(2));
  EXPECT_EQ(Devices()[0], foreign);
  EXPECT_EQ(instance_.pass().counters().conflicts, 1U);
}

TEST_F(PassTest, TakesAConflictOfTheServerForOne) {
  server_.Inject({.method = "PATCH", .path = "/kubevirts/", .code = 409, .text = "modified"});
  server_.BeforeNext("PATCH", "/kubevirts/", [&] {
    server_.PutKubeVirt("kubevirt", {{"configuration", {{"smbios", {{"sku", "1"}}}}}});
  });
  EXPECT_EQ(instance_.Run().state, State::kInStep);
  EXPECT_EQ(server_.KubeVirt("kubevirt")["spec"]["configuration"]["smbios"]["sku"], "1");
  EXPECT_THAT(Devices(), SizeIs(1));
}

TEST_F(PassTest, GivesUpAfterAFewConflictsWithoutHarm) {
  for (int i = 0; i < 5; ++i) {
    server_.BeforeNext("PATCH", "/kubevirts/", [this, i] {
      server_.PutKubeVirt("kubevirt", {{"configuration", {{"smbios", {{"sku", i}}}}}});
    });
  }
  EXPECT_EQ(instance_.Run().state, State::kConflict);
  EXPECT_EQ(server_.KubeVirt("kubevirt")["spec"]["configuration"]["smbios"]["sku"], 4);
  EXPECT_EQ(instance_.Run().state, State::kInStep);
}

TEST_F(PassTest, TellsAPatchThatIsRefusedFromAConflict) {
  for (const int code : {400, 422}) {
    server_.Inject({.method = "PATCH", .path = "/kubevirts/", .code = code, .text = "webhook: no"});
    const Outcome outcome = instance_.Run();
    EXPECT_EQ(outcome.state, State::kRefused);
    EXPECT_THAT(outcome.text, HasSubstr("webhook: no"));
  }
  EXPECT_EQ(server_.Count("PATCH"), 2);
}

TEST_F(PassTest, ReportsThatThereIsNoKubeVirt) {
  server_.InstallCrd(false);
  EXPECT_EQ(instance_.Run().state, State::kNoKubeVirt);
  server_.InstallCrd(true);
  server_.Remove("/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt");
  EXPECT_EQ(instance_.Run().state, State::kNoKubeVirt);
  EXPECT_EQ(server_.Writes(), 0);
  SetUp();
  EXPECT_EQ(instance_.Run().state, State::kInStep);
}

TEST_F(PassTest, LeavesACrAloneThatIsBeingDeleted) {
  Json cr = server_.KubeVirt("kubevirt");
  cr["metadata"]["deletionTimestamp"] = "2026-11-26T12:00:00Z";
  server_.Put("/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt", cr);
  EXPECT_EQ(instance_.Run().state, State::kNoKubeVirt);
  EXPECT_EQ(server_.Writes(), 0);
}

TEST_F(PassTest, AsksWhichOfSeveral) {
  server_.PutKubeVirt("other", Json::object());
  const Outcome outcome = instance_.Run();
  EXPECT_EQ(outcome.state, State::kSeveral);
  EXPECT_THAT(outcome.text, HasSubstr("kubevirt/other"));
  EXPECT_EQ(server_.Writes(), 0);
  Instance told(server_, "first", {.space = "kubevirt", .name = "kubevirt"});
  EXPECT_EQ(told.Run().state, State::kInStep);
  EXPECT_THAT(Devices(), SizeIs(1));
  EXPECT_EQ(server_.KubeVirt("other")["spec"], Json::object());
}

TEST_F(PassTest, ReportsWhatIsForbidden) {
  for (const char* path : {"/kubevirts", "/nodes", "/leases"}) {
    server_.Inject({.method = {}, .path = path, .code = 403, .text = "forbidden"});
    const Outcome outcome = instance_.Run();
    EXPECT_EQ(outcome.state, State::kForbidden) << path;
    EXPECT_THAT(outcome.text, HasSubstr(path));
  }
  EXPECT_THAT(Devices(), IsEmpty());
}

TEST_F(PassTest, TakesBackEvenWhereItMayNotSeeNodes) {
  ASSERT_EQ(instance_.Run().state, State::kInStep);
  server_.Inject({.method = "GET", .path = "/nodes", .code = 403, .text = "forbidden"});
  const Outcome outcome = instance_.Run({{"10DE:1EB8", "vendor.example/gpu"}});
  EXPECT_EQ(outcome.state, State::kForbidden);
  EXPECT_THAT(Devices(), IsEmpty());
}

TEST_F(PassTest, ComesBackAfterAnyFailure) {
  const std::vector<fakes::FakeApiServer::Fault> faults{
      {.method = {}, .path = "/kubevirts", .code = 500, .text = "broken"},
      {.method = {}, .path = "/kubevirts", .answer = Answer::kHalf, .text = {}},
      {.method = {}, .path = "/kubevirts", .answer = Answer::kHangUp, .text = {}},
      {.method = {}, .path = "/nodes", .answer = Answer::kHalf, .text = {}},
      {.method = {}, .path = "/leases", .code = 503, .text = "broken"},
      {.method = "PATCH", .path = "/kubevirts", .code = 504, .text = "timeout"},
      {.method = "PATCH", .path = "/kubevirts", .answer = Answer::kNone, .text = {}},
  };
  for (const auto& fault : faults) {
    server_.Inject(fault);
    EXPECT_EQ(instance_.Run().state, State::kUnreachable) << fault.path;
  }
  server_.Inject({.method = {}, .path = "/kubevirts", .answer = Answer::kGarbage, .text = "[]"});
  EXPECT_EQ(instance_.Run().state, State::kBroken);
  EXPECT_THAT(Devices(), IsEmpty());
  EXPECT_EQ(instance_.Run().state, State::kInStep);
  EXPECT_THAT(Devices(), SizeIs(1));
}

TEST_F(PassTest, AddsNothingTwiceWhenItIsNotToldThatItIsDone) {
  server_.Inject(
      {.method = "PATCH", .path = "/kubevirts", .answer = Answer::kDoneThenHangUp, .text = {}});
  EXPECT_EQ(instance_.Run().state, State::kUnreachable);
  EXPECT_EQ(instance_.Run().state, State::kInStep);
  EXPECT_THAT(Devices(), SizeIs(1));
  EXPECT_EQ(server_.Count("PATCH"), 1);
}

TEST_F(PassTest, LetsOneOfTwoInstancesWrite) {
  Instance second(server_, "second");
  ASSERT_EQ(instance_.Run().state, State::kInStep);
  const int writes = server_.Writes();
  // It would undo what the first has done.
  const Outcome outcome = second.Run({});
  EXPECT_EQ(outcome.state, State::kFollowing);
  EXPECT_EQ(outcome.retry, seconds(15));
  EXPECT_EQ(server_.Writes(), writes);
  EXPECT_THAT(Devices(), SizeIs(1));
  // The first is gone without a word.
  second.Sleep(seconds(15));
  EXPECT_EQ(second.Run({}).state, State::kInStep);
  EXPECT_THAT(Devices(), IsEmpty());
}

TEST_F(PassTest, NeedsNoLeaseToAgree) {
  Instance second(server_, "second");
  ASSERT_EQ(instance_.Run().state, State::kInStep);
  EXPECT_EQ(second.Run().state, State::kInStep);
}

TEST_F(PassTest, ShowsThePatchWithoutSendingIt) {
  Outcome outcome;
  const Json patch = instance_.pass().Preview({kNvme}, outcome);
  EXPECT_EQ(outcome.state, State::kInStep);
  EXPECT_EQ(server_.Writes(), 0);
  const Json after = server_.KubeVirt("kubevirt").patch(patch);
  EXPECT_EQ(after[Json::json_pointer(kPciDevices)][0]["resourceName"], "vendor.example/nvme");
}

TEST_F(PassTest, DoesNotFollowAStrangeName) {
  Json cr = server_.KubeVirt("kubevirt");
  cr["metadata"]["name"] = "../../../api/v1/nodes";
  server_.Put("/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt", cr);
  EXPECT_EQ(instance_.Run().state, State::kBroken);
  EXPECT_EQ(server_.Writes(), 0);
}

}  // namespace
}  // namespace dp::controller
