// SPDX-License-Identifier: Apache-2.0
#include "plugin/kube/rest_api.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <future>
#include <string>

#include "plugin/kube/http_error.h"
#include "tests/fakes/fake_api_server.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::kube {
namespace {

using Answer = fakes::FakeApiServer::Answer;
using Json = nlohmann::json;

constexpr char kNode[] = "/api/v1/nodes/n1";

class RestApiTest : public ::testing::Test {
 protected:
  RestApiTest() { server_.PutNode("n1", {{"vendor.example/nvme", "2"}}); }

  fakes::FakeApiServer server_;
  RestApi api_{
      {.url = server_.url(), .token_file = {}, .ca_file = {}, .timeout = std::chrono::seconds(2)}};
};

TEST_F(RestApiTest, ReadsAnObject) {
  const auto node = api_.Get(kNode);
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ((*node)["metadata"]["name"], "n1");
}

TEST_F(RestApiTest, PassesTheQueryOn) {
  ASSERT_TRUE(api_.Get("/api/v1/nodes?limit=2&continue=a%2Fb").ok());
  EXPECT_EQ(server_.Count("GET", "/api/v1/nodes?limit=2&continue=a%2Fb"), 1);
}

TEST_F(RestApiTest, NamesMethodPathAndTheServersWords) {
  const auto node = api_.Get("/api/v1/nodes/none");
  EXPECT_TRUE(absl::IsNotFound(node.status()));
  EXPECT_EQ(std::string(node.status().message()), "GET /api/v1/nodes/none: 404: not found");
}

TEST_F(RestApiTest, PatchesOneVersionAndNoOther) {
  const Json version = server_.At(kNode)["metadata"]["resourceVersion"];
  Json patch{{{"op", "test"}, {"path", "/metadata/resourceVersion"}, {"value", version}},
             {{"op", "add"}, {"path", "/metadata/labels"}, {"value", {{"a", "b"}}}}};
  ASSERT_TRUE(api_.Patch(kNode, patch).ok());
  EXPECT_EQ(server_.LastHeader("content-type"), "application/json-patch+json");
  EXPECT_TRUE(absl::IsFailedPrecondition(api_.Patch(kNode, patch).status()));
}

TEST_F(RestApiTest, MergesStrategicallyAndReadsByAnEmptyChange) {
  const std::string path = std::string(kNode) + "/status";
  const Json conditions = Json::array({{{"type", "A"}, {"status", "True"}}});
  ASSERT_TRUE(api_.StrategicPatch(path, {{"status", {{"conditions", conditions}}}}).ok());
  EXPECT_EQ(server_.LastHeader("content-type"), "application/strategic-merge-patch+json");
  const auto node = api_.StrategicPatch(path, Json::object());
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ((*node)["status"]["conditions"], conditions);
}

TEST_F(RestApiTest, PassesOnHowLongToWait) {
  server_.Inject({.method = "GET", .path = kNode, .code = 429, .text = {}, .retry_after = "7"});
  EXPECT_EQ(RetryAfter(api_.Get(kNode).status()), std::chrono::seconds(7));
  server_.Inject({.method = "GET", .path = kNode, .code = 429, .text = {}});
  EXPECT_EQ(RetryAfter(api_.Get(kNode).status()), std::chrono::seconds(0));
}

TEST_F(RestApiTest, SaysWhichProgramItIs) {
  RestApi api({.url = server_.url(), .token_file = {}, .ca_file = {}, .user_agent = "a-program"});
  ASSERT_TRUE(api.Get(kNode).ok());
  EXPECT_EQ(server_.LastHeader("user-agent"), "a-program");
}

TEST_F(RestApiTest, CreatesOnceAndReplacesOneVersion) {
  const std::string leases = "/apis/coordination.k8s.io/v1/namespaces/a/leases";
  const auto lease = api_.Create(leases, {{"metadata", {{"name", "l"}}}});
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_TRUE(absl::IsAlreadyExists(api_.Create(leases, {{"metadata", {{"name", "l"}}}}).status()));
  Json changed = *lease;
  changed["spec"] = {{"holderIdentity", "x"}};
  EXPECT_TRUE(api_.Replace(leases + "/l", changed).ok());
  EXPECT_TRUE(absl::IsAborted(api_.Replace(leases + "/l", changed).status()));
}

TEST_F(RestApiTest, ShowsTheTokenThatIsThereNow) {
  const fakes::TemporaryFolder folder;
  const std::string path = folder.path() + "/token";
  RestApi api({.url = server_.url(), .token_file = path, .ca_file = {}});
  EXPECT_TRUE(absl::IsUnauthenticated(api.Get(kNode).status()));
  EXPECT_EQ(server_.Count("GET"), 0);
  std::ofstream(path) << "first\n";
  ASSERT_TRUE(api.Get(kNode).ok());
  EXPECT_EQ(server_.LastHeader("authorization"), "Bearer first");
  std::ofstream(path) << "second";
  ASSERT_TRUE(api.Get(kNode).ok());
  EXPECT_EQ(server_.LastHeader("authorization"), "Bearer second");
  std::ofstream(path) << "two\nlines";
  EXPECT_TRUE(absl::IsUnauthenticated(api.Get(kNode).status()));
}

TEST_F(RestApiTest, AsksNobodyWithoutTheAuthorities) {
  RestApi api({.url = server_.url(), .token_file = {}, .ca_file = "/nowhere/ca.crt"});
  EXPECT_TRUE(absl::IsUnauthenticated(api.Get(kNode).status()));
  EXPECT_EQ(server_.Count("GET"), 0);
}

TEST_F(RestApiTest, TakesHalfAnAnswerForNone) {
  server_.Inject({.method = "GET", .path = kNode, .answer = Answer::kHalf, .text = {}});
  EXPECT_TRUE(absl::IsUnavailable(api_.Get(kNode).status())) << api_.Get(kNode).status();
  EXPECT_TRUE(api_.Get(kNode).ok());
}

TEST_F(RestApiTest, TakesAHangUpForNoAnswer) {
  server_.Inject({.method = "GET", .path = kNode, .answer = Answer::kHangUp, .text = {}});
  EXPECT_TRUE(absl::IsUnavailable(api_.Get(kNode).status()));
  EXPECT_TRUE(api_.Get(kNode).ok());
}

TEST_F(RestApiTest, RefusesWhatIsNoObject) {
  for (const char* text : {"", "[]", "<html>", "{\"a\":"}) {
    server_.Inject({.method = "GET", .path = kNode, .answer = Answer::kGarbage, .text = text});
    EXPECT_TRUE(absl::IsInvalidArgument(api_.Get(kNode).status())) << text;
  }
}

TEST_F(RestApiTest, DoesNotWaitForEver) {
  server_.Inject({.method = "GET", .path = kNode, .answer = Answer::kNone, .text = {}});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(absl::IsUnavailable(api_.Get(kNode).status()));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST_F(RestApiTest, IsUnavailableWhereNobodyListens) {
  RestApi api({.url = "http://127.0.0.1:1", .token_file = {}, .ca_file = {}});
  EXPECT_TRUE(absl::IsUnavailable(api.Get(kNode).status())) << api.Get(kNode).status();
}

TEST_F(RestApiTest, CanBeGivenUpFromAnotherThread) {
  RestApi api(
      {.url = server_.url(), .token_file = {}, .ca_file = {}, .timeout = std::chrono::seconds(60)});
  server_.Inject({.method = "GET", .path = kNode, .answer = Answer::kNone, .text = {}});
  auto node = std::async(std::launch::async, [&] { return api.Get(kNode).status(); });
  // Not yet answered, but asked: connected at least.
  ASSERT_TRUE(server_.WaitForCount("GET", kNode, 1));
  api.Cancel();
  ASSERT_EQ(node.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_TRUE(absl::IsCancelled(node.get()));
  EXPECT_TRUE(absl::IsCancelled(api.Get(kNode).status()));
  api.Reopen();
  EXPECT_TRUE(api.Get(kNode).ok());
}

}  // namespace
}  // namespace dp::kube
