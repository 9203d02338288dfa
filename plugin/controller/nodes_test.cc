// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "plugin/kube/rest_api.h"
#include "tests/fakes/fake_api_server.h"

namespace dp::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class NodesTest : public ::testing::Test {
 protected:
  std::set<std::string> Find(const std::vector<std::string>& resources) {
    auto found = FindOffered(api_, resources);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *found : std::set<std::string>();
  }

  fakes::FakeApiServer server_;
  kube::RestApi api_{{.url = server_.url(), .token_file = {}, .ca_file = {}}};
};

TEST_F(NodesTest, FindsWhatOneNodeOffers) {
  server_.PutNode("a", {{"cpu", "4"}});
  server_.PutNode("b", {{"cpu", "4"}, {"vendor.example/nvme", "2"}});
  EXPECT_THAT(Find({"vendor.example/gpu", "vendor.example/nvme"}),
              ElementsAre("vendor.example/nvme"));
}

TEST_F(NodesTest, TakesNoneForNotOffered) {
  server_.PutNode("a", {{"vendor.example/nvme", "0"}});
  EXPECT_THAT(Find({"vendor.example/nvme"}), IsEmpty());
}

TEST_F(NodesTest, TakesUnhealthyDevicesForOffered) {
  server_.Put("/api/v1/nodes/a", {{"metadata", {{"name", "a"}}},
                                  {"status",
                                   {{"allocatable", {{"vendor.example/nvme", "0"}}},
                                    {"capacity", {{"vendor.example/nvme", "2"}}}}}});
  EXPECT_THAT(Find({"vendor.example/nvme"}), ElementsAre("vendor.example/nvme"));
}

TEST_F(NodesTest, ReadsPagesUntilAllAreFound) {
  for (int i = 100; i < 200; ++i) server_.PutNode("n" + std::to_string(i), {{"cpu", "4"}});
  EXPECT_THAT(Find({"vendor.example/nvme"}), IsEmpty());
  EXPECT_EQ(server_.Count("GET", "/api/v1/nodes"), 5);
  server_.PutNode("n130", {{"vendor.example/nvme", "1"}});
  EXPECT_THAT(Find({"vendor.example/nvme"}), ElementsAre("vendor.example/nvme"));
  EXPECT_EQ(server_.Count("GET", "/api/v1/nodes"), 5 + 2);
}

TEST_F(NodesTest, PassesAnErrorOn) {
  server_.Inject({.method = "GET", .path = "/api/v1/nodes", .code = 403, .text = "no"});
  EXPECT_TRUE(absl::IsPermissionDenied(FindOffered(api_, {"a/b"}).status()));
}

}  // namespace
}  // namespace dp::controller
