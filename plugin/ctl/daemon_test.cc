// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/daemon.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/fakes/fake_admin_server.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
namespace admin = vfio_doorbell::admin::v1;

class DaemonTest : public testing::Test {
 protected:
  [[nodiscard]] std::string socket() const { return folder_.path() + "/admin.sock"; }

  fakes::TemporaryFolder folder_;
};

admin::NodeState SomeState() {
  admin::NodeState state;
  state.mutable_daemon()->set_version("0.1.0");
  state.mutable_daemon()->set_mode(admin::MODE_ENFORCE);
  state.mutable_pool()->set_start(0x09100000);
  state.mutable_pool()->set_end(0x10000000);
  state.mutable_pool()->set_window_size(0x100000);
  state.mutable_pool()->set_free(110);
  admin::Device& device = *state.add_devices();
  device.set_id("0000:01:00.0");
  device.set_group(7);
  device.set_numa_node(1);
  device.set_state(admin::DEVICE_STARTED);
  device.mutable_window()->set_base(0x09100000);
  device.mutable_window()->set_size(0x100000);
  device.mutable_pod()->set_namespace_("default");
  device.mutable_pod()->set_name("vm-a");
  device.mutable_last_failure()->set_reason("group_busy");
  state.add_devices()->set_state(static_cast<admin::DeviceState>(99));
  state.add_leftovers()->mutable_window()->set_base(0x09200000);
  state.add_occurrences()->set_reason("window_reserved");
  return state;
}

TEST_F(DaemonTest, ReadsTheState) {
  fakes::FakeAdminServer server(socket());
  server.Start();
  server.SetState(SomeState());
  const auto node = AskState(socket());
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ(node->daemon->version, "0.1.0");
  EXPECT_EQ(node->daemon->mode, "enforce");
  EXPECT_EQ(node->pool, core::Pool());
  EXPECT_EQ(node->free_windows, 110U);
  ASSERT_THAT(node->devices, SizeIs(2));
  const Device& device = node->devices[0];
  EXPECT_EQ(device.group, 7U);
  EXPECT_EQ(device.numa_node, 1);
  EXPECT_EQ(device.state, State::kStarted);
  EXPECT_EQ(device.window, (core::Window{.base = 0x09100000, .size = 0x100000}));
  EXPECT_EQ(device.pod, (core::PodName{.space = "default", .name = "vm-a"}));
  EXPECT_EQ(device.last_failure->reason, "group_busy");
  EXPECT_EQ(node->devices[1].state, State::kUnknown);
  EXPECT_EQ(node->devices[1].window, std::nullopt);
  EXPECT_EQ(node->devices[1].pod, std::nullopt);
  EXPECT_EQ(node->leftovers[0].window.base, 0x09200000U);
  EXPECT_EQ(node->occurrences[0].reason, "window_reserved");
}

TEST_F(DaemonTest, NamesTheSocketWhereNobodyAnswers) {
  const auto node = AskState(socket());
  EXPECT_EQ(node.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(node.status().message()), HasSubstr(socket()));
}

TEST_F(DaemonTest, TakesNoEmptyAnswerForADaemon) {
  fakes::FakeAdminServer server(socket());
  server.Start();
  const auto node = AskState(socket());
  EXPECT_EQ(node.status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(DaemonTest, Releases) {
  fakes::FakeAdminServer server(socket());
  server.Start();
  server.SetRelease(grpc::Status::OK, {"0000:01:00.0"});
  EXPECT_THAT(AskRelease(socket(), 0x09100000).value(), ElementsAre("0000:01:00.0"));
  EXPECT_THAT(server.released(), ElementsAre(0x09100000));
}

}  // namespace
}  // namespace dp::ctl
