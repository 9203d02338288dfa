// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/lease.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>

#include "plugin/kube/rest_api.h"
#include "tests/fakes/fake_api_server.h"

namespace dp::controller {
namespace {

using std::chrono::seconds;

constexpr char kPath[] = "/apis/coordination.k8s.io/v1/namespaces/space/leases/name";

class LeaseTest : public ::testing::Test {
 protected:
  Lease Of(const std::string& identity) {
    return Lease(api_, {.space = "space", .name = "name", .identity = identity}, seconds(15),
                 {.steady = [this] { return now_; },
                  .wall =
                      [this] {
                        return std::chrono::system_clock::time_point(
                            std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                now_.time_since_epoch()));
                      }});
  }
  static std::string HolderSeenBy(Lease& lease) {
    const auto other = lease.Acquire();
    EXPECT_TRUE(other.ok()) << other.status();
    if (!other.ok()) return "?";
    return other->has_value() ? (*other)->holder : "itself";
  }

  fakes::FakeApiServer server_;
  kube::RestApi api_{{.url = server_.url(), .token_file = {}, .ca_file = {}}};
  std::chrono::steady_clock::time_point now_{seconds(1000)};
};

TEST_F(LeaseTest, IsMadeByTheFirst) {
  Lease first = Of("first");
  EXPECT_EQ(HolderSeenBy(first), "itself");
  EXPECT_EQ(server_.At(kPath)["spec"],
            nlohmann::json({{"holderIdentity", "first"},
                            {"leaseDurationSeconds", 15},
                            {"acquireTime", "1970-01-01T00:16:40.000000Z"},
                            {"renewTime", "1970-01-01T00:16:40.000000Z"},
                            {"leaseTransitions", 0}}));
}

TEST_F(LeaseTest, IsNotWrittenAgainWhileItIsGood) {
  Lease first = Of("first");
  EXPECT_EQ(HolderSeenBy(first), "itself");
  now_ += seconds(9);
  EXPECT_EQ(HolderSeenBy(first), "itself");
  EXPECT_EQ(server_.Writes(), 1);
  now_ += seconds(1);
  EXPECT_EQ(HolderSeenBy(first), "itself");
  EXPECT_EQ(server_.Writes(), 2);
}

TEST_F(LeaseTest, KeepsOthersOutForItsDuration) {
  Lease first = Of("first");
  Lease second = Of("second");
  EXPECT_EQ(HolderSeenBy(first), "itself");
  now_ += seconds(14);
  EXPECT_EQ(HolderSeenBy(second), "first");  // seen just now
  now_ += seconds(14);
  EXPECT_EQ(HolderSeenBy(second), "first");
  now_ += seconds(1);
  EXPECT_EQ(HolderSeenBy(second), "itself");
  EXPECT_EQ(server_.At(kPath)["spec"]["leaseTransitions"], 1);
  EXPECT_EQ(HolderSeenBy(first), "second");
}

TEST_F(LeaseTest, WaitsAnewWhenItIsRenewed) {
  Lease first = Of("first");
  Lease second = Of("second");
  EXPECT_EQ(HolderSeenBy(first), "itself");
  EXPECT_EQ(HolderSeenBy(second), "first");
  now_ += seconds(12);
  EXPECT_EQ(HolderSeenBy(first), "itself");
  now_ += seconds(12);
  EXPECT_EQ(HolderSeenBy(second), "first");
}

TEST_F(LeaseTest, CanBeTakenAtOnceWhenItIsGivenBack) {
  Lease first = Of("first");
  Lease second = Of("second");
  EXPECT_EQ(HolderSeenBy(first), "itself");
  EXPECT_EQ(HolderSeenBy(second), "first");
  ASSERT_TRUE(first.Release().ok());
  EXPECT_EQ(HolderSeenBy(second), "itself");
  ASSERT_TRUE(first.Release().ok()) << "there is nothing to give any more";
  EXPECT_EQ(server_.At(kPath)["spec"]["holderIdentity"], "second");
}

TEST_F(LeaseTest, GoesToOneOfTwoThatWantItAtOnce) {
  Lease first = Of("first");
  Lease second = Of("second");
  server_.BeforeNext("POST", "/leases", [&] { EXPECT_EQ(HolderSeenBy(second), "itself"); });
  EXPECT_EQ(HolderSeenBy(first), "another instance");
  now_ += seconds(30);
  server_.BeforeNext("PUT", "/leases", [&] { EXPECT_EQ(HolderSeenBy(second), "itself"); });
  EXPECT_EQ(HolderSeenBy(first), "second");
  now_ += seconds(15);
  EXPECT_EQ(HolderSeenBy(first), "another instance");
}

TEST_F(LeaseTest, GoesOnUnderItsName) {
  Lease before = Of("pod-1");
  EXPECT_EQ(HolderSeenBy(before), "itself");
  Lease after = Of("pod-1");
  EXPECT_EQ(HolderSeenBy(after), "itself");
  EXPECT_EQ(server_.At(kPath)["spec"]["leaseTransitions"], 0);
}

TEST_F(LeaseTest, IsTakenWhereItMakesNoSense) {
  server_.Put(kPath, {{"metadata", {{"name", "name"}}},
                      {"spec", {{"holderIdentity", 7}, {"leaseDurationSeconds", "x"}}}});
  Lease first = Of("first");
  EXPECT_EQ(HolderSeenBy(first), "itself");
}

TEST_F(LeaseTest, PassesAnErrorOn) {
  server_.Inject({.method = {}, .path = "/leases", .code = 403, .text = "no"});
  Lease first = Of("first");
  EXPECT_TRUE(absl::IsPermissionDenied(first.Acquire().status()));
}

}  // namespace
}  // namespace dp::controller
