// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/wire/kubernetes_status.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>

#include "tests/fakes/fake_api_server.h"
#include "tests/fakes/loop_thread.h"

namespace dp::status::wire {
namespace {

using Json = nlohmann::json;

TEST(KubernetesStatusTest, TellsWhatTheDaemonSays) {
  fakes::FakeApiServer server;
  server.Put("/api/v1/nodes/node-a", {{"metadata", {{"name", "node-a"}, {"uid", "uid-1"}}},
                                      {"status", {{"conditions", Json::array()}}}});
  fakes::LoopThread loop;
  KubernetesStatus status(loop.loop(), {.url = server.url(), .token_file = {}, .ca_file = {}},
                          {.node = "node-a", .feature_file = {}}, {});
  admin_client::v1::NodeState state;
  state.mutable_daemon()->set_started_ms(1);
  state.add_devices()->set_id("0000:00:10.0");
  // Not told: it answers at once.
  loop.Do([&] { status.OnLost(absl::UnavailableError("no socket")); });
  loop.Do([&] { status.OnState(state); });
  ASSERT_TRUE(server.WaitForCount("PATCH", "/doorbellnodes/node-a/status", 1));
  auto stopped = std::make_shared<std::promise<void>>();
  loop.Do([&] { status.Stop([stopped] { stopped->set_value(); }); });
  ASSERT_EQ(stopped->get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  loop.Stop();
  EXPECT_EQ(server.At("/api/v1/nodes/node-a")["status"]["conditions"][0]["reason"],
            "NoHealthyDevice");
  EXPECT_EQ(server.All("/doorbellnodes/")[0]["status"]["devices"][0]["id"], "0000:00:10.0");
}

}  // namespace
}  // namespace dp::status::wire
