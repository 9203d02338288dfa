// SPDX-License-Identifier: Apache-2.0
#include "plugin/admin_client/ask.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/fakes/fake_admin_server.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::admin_client {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

constexpr std::chrono::seconds kPatience{10};

class AskTest : public ::testing::Test {
 protected:
  AskTest() : server_(folder_.path() + "/admin.sock") {}

  absl::StatusOr<v1::ReleaseResponse> Release(std::uint64_t base) {
    v1::ReleaseRequest request;
    request.set_base(base);
    return AskRelease(server_.path(), request, kPatience);
  }

  fakes::TemporaryFolder folder_;
  fakes::FakeAdminServer server_;
};

TEST_F(AskTest, WaitsForTheState) {
  v1::NodeState state;
  state.set_revision(7);
  server_.SetState(state);
  server_.Start();
  const auto answer = AskState(server_.path(), kPatience);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->revision(), 7);
}

TEST_F(AskTest, SaysAtOnceThatThereIsNoSocket) {
  const auto answer = AskState(server_.path(), kPatience);
  EXPECT_TRUE(absl::IsNotFound(answer.status()));
  EXPECT_EQ(std::string(answer.status().message()),
            fmt::format("cannot connect to {}: No such file or directory", server_.path()));
}

TEST_F(AskTest, DoesNotWaitForEver) {
  server_.Start();
  server_.Hold();
  const auto answer = AskState(server_.path(), milliseconds(50));
  EXPECT_EQ(answer.status(),
            absl::DeadlineExceededError(
                fmt::format("the daemon at {} has not answered within 0.05 s", server_.path())));
}

TEST_F(AskTest, Releases) {
  server_.SetRelease(grpc::Status::OK, {"0000:01:00.0"});
  server_.Start();
  const auto released = Release(0x09100000);
  ASSERT_TRUE(released.ok()) << released.status();
  EXPECT_THAT(released->devices(), ElementsAre("0000:01:00.0"));
  EXPECT_THAT(server_.released(), ElementsAre(0x09100000));
}

TEST_F(AskTest, PassesARefusalOn) {
  server_.SetRelease({grpc::StatusCode::FAILED_PRECONDITION, "default/vm-a has it"}, {});
  server_.Start();
  EXPECT_EQ(Release(0x09100000).status(),
            absl::FailedPreconditionError(
                fmt::format("the daemon at {}: default/vm-a has it", server_.path())));
}

}  // namespace
}  // namespace dp::admin_client
