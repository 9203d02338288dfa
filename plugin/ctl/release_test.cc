// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/release.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/fakes/fake_admin_server.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ReleaseTest : public testing::Test {
 protected:
  ReleaseTest() : server_(folder_.path() + "/admin.sock") {
    vfio_doorbell::admin::v1::NodeState state;
    state.mutable_daemon()->set_version("0.1.0");
    auto& device = *state.add_devices();
    device.set_id("0000:01:00.0");
    device.mutable_window()->set_base(0x09100000);
    device.mutable_pod()->set_namespace_("default");
    device.mutable_pod()->set_name("vm-a");
    server_.SetState(std::move(state));
    server_.SetRelease(grpc::Status::OK, {"0000:01:00.0"});
    server_.Start();
  }

  fakes::TemporaryFolder folder_;
  fakes::FakeAdminServer server_;
};

TEST_F(ReleaseTest, AsksFirst) {
  std::string asked;
  const Answer no = Release(server_.path(), "0x09100000", [&](const std::string& question) {
    asked = question;
    return false;
  });
  EXPECT_EQ(
      asked,
      "End the reservation of the window at 0x9100000, which 0000:01:00.0 of pod default/vm-a "
      "has? [y/N] ");
  EXPECT_EQ(no.exit_code, kExitNo);
  EXPECT_THAT(server_.released(), IsEmpty());
  const Answer yes =
      Release(server_.path(), "0x09100000", [](const std::string& /*question*/) { return true; });
  EXPECT_EQ(yes.exit_code, kExitOk);
  EXPECT_EQ(yes.text, "released 0x9100000 of 0000:01:00.0\n");
  EXPECT_THAT(server_.released(), ElementsAre(0x09100000));
}

TEST_F(ReleaseTest, TakesWindowsAsTheyAreShown) {
  for (const char* window :
       {"0x09100000", "152043520", "0x09100000+0x100000", "0x09100000 0x00100000"}) {
    EXPECT_EQ(ParseWindowBase(window).value(), 0x09100000U) << window;
  }
  for (const char* window : {"", "window", "0x09100000+", "0x09100000+x", "+0x1"})
    EXPECT_FALSE(ParseWindowBase(window).ok()) << window;
  EXPECT_EQ(Release(server_.path(), "a\n", {}).exit_code, kExitUsage);
}

TEST_F(ReleaseTest, ShowsTheRefusalAsItIs) {
  server_.SetRelease({grpc::StatusCode::FAILED_PRECONDITION, "default/vm-a has it still"}, {});
  const Answer answer = Release(server_.path(), "0x09100000", {});
  EXPECT_EQ(answer.exit_code, kExitNo);
  EXPECT_THAT(answer.notes[0], HasSubstr("default/vm-a has it still"));
}

TEST_F(ReleaseTest, SaysWhenNobodyAnswers) {
  EXPECT_EQ(Release(folder_.path() + "/none", "0x09100000", {}).exit_code, kExitUnreadable);
}

}  // namespace
}  // namespace dp::ctl
