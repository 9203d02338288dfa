// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/controller.h"

#include <gtest/gtest.h>

#include <atomic>
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

namespace dp::controller {
namespace {

using Answer = fakes::FakeApiServer::Answer;
using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

const Permit kNvme{"1B36:0010", "vendor.example/nvme"};
constexpr char kCrPath[] = "/kubevirts";

// A whole controller, on a loop of its own.
class Running {
 public:
  Running(fakes::FakeApiServer& server, const std::string& identity, Controller::Pace pace)
      : api_({.url = server.url(), .token_file = {}, .ca_file = {}, .timeout = seconds(60)}),
        lease_(api_, {.space = "space", .name = "name", .identity = identity}, seconds(15),
               {.steady = std::chrono::steady_clock::now, .wall = std::chrono::system_clock::now}),
        pass_(api_, lease_, {}),
        controller_(loop_.loop(), pass_, lease_, pace,
                    {.cancel = [this] { api_.Cancel(); },
                     .reopen = [this] { api_.Reopen(); },
                     .passed = [this](const Outcome& outcome) { state_ = outcome.state; }}) {}
  ~Running() {
    Stop();
    loop_.Stop();
  }

  void Want(const std::vector<Permit>& permits) {
    loop_.Do([&] { controller_.Want(permits); });
  }
  // Whether it ends within ten seconds.
  bool Stop() {
    if (stopped_) return true;
    auto stopped = std::make_shared<std::promise<void>>();
    loop_.Do([&] { controller_.Stop([stopped] { stopped->set_value(); }); });
    stopped_ = stopped->get_future().wait_for(seconds(10)) == std::future_status::ready;
    return stopped_;
  }
  [[nodiscard]] State state() const { return state_; }

 private:
  fakes::LoopThread loop_;
  kube::RestApi api_;
  Lease lease_;
  Pass pass_;
  std::atomic<State> state_{State::kBroken};
  Controller controller_;
  bool stopped_ = false;
};

class ControllerTest : public ::testing::Test {
 protected:
  ControllerTest() {
    log::Configure(log::Level::kOff, log::Format::kText);
    server_.PutKubeVirt("kubevirt", Json::object());
    server_.PutNode("n1", {{"vendor.example/nvme", "2"}});
  }
  fakes::FakeApiServer server_;
  const Controller::Pace quick_{.interval = milliseconds(20),
                                .first_retry = milliseconds(1),
                                .longest_retry = milliseconds(20),
                                .deadline = seconds(60)};
};

TEST_F(ControllerTest, LooksAgainAndAgainAndWritesOnce) {
  Running running(server_, "first", quick_);
  running.Want({kNvme});
  ASSERT_TRUE(server_.WaitForCount("GET", kCrPath, 20));
  EXPECT_EQ(server_.Count("PATCH"), 1);
  EXPECT_EQ(server_.Writes(), 2) << "the lease and the patch";
}

TEST_F(ControllerTest, GivesTheLeaseBackAtItsEnd) {
  Running running(server_, "first", quick_);
  running.Want({kNvme});
  ASSERT_TRUE(server_.WaitForCount("PATCH", kCrPath, 1));
  ASSERT_TRUE(running.Stop());
  EXPECT_EQ(
      server_.At(
          "/apis/coordination.k8s.io/v1/namespaces/space/leases/name")["spec"]["holderIdentity"],
      "");
}

TEST_F(ControllerTest, ComesBackWhenTheApiServerDoes) {
  server_.Inject(
      {.method = {}, .path = kCrPath, .answer = Answer::kHangUp, .text = {}, .times = 20});
  Running running(server_, "first", quick_);
  running.Want({kNvme});
  ASSERT_TRUE(server_.WaitForCount("PATCH", kCrPath, 1));
}

TEST_F(ControllerTest, WaitsLongerEachTime) {
  server_.Inject({.method = {}, .path = kCrPath, .code = 500, .text = {}, .times = 1000});
  Running running(server_, "first",
                  {.interval = milliseconds(1),
                   .first_retry = milliseconds(1),
                   .longest_retry = seconds(100),
                   .deadline = seconds(60)});
  running.Want({kNvme});
  const auto start = std::chrono::steady_clock::now();
  // 1 + 2 + 4 + ... + 128
  ASSERT_TRUE(server_.WaitForCount("GET", kCrPath, 9));
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(250));
}

TEST_F(ControllerTest, TakesAnotherConfigurationAtOnce) {
  Running running(server_, "first",
                  {.interval = seconds(1000),
                   .first_retry = seconds(1000),
                   .longest_retry = seconds(1000),
                   .deadline = seconds(60)});
  running.Want({kNvme});
  ASSERT_TRUE(server_.WaitForCount("PATCH", kCrPath, 1));
  running.Want({});
  ASSERT_TRUE(server_.WaitForCount("PATCH", kCrPath, 2));
  EXPECT_EQ(server_.KubeVirt("kubevirt")["spec"], Json::object());
}

TEST_F(ControllerTest, TakesAConfigurationThatComesDuringAPass) {
  Running running(server_, "first",
                  {.interval = seconds(1000),
                   .first_retry = seconds(1000),
                   .longest_retry = seconds(1000),
                   .deadline = seconds(60)});
  server_.BeforeNext("GET", kCrPath, [&] { running.Want({kNvme}); });
  running.Want({});
  ASSERT_TRUE(server_.WaitForCount("PATCH", kCrPath, 1));
}

TEST_F(ControllerTest, EndsWhileTheApiServerSaysNothing) {
  server_.Inject({.method = {}, .path = kCrPath, .answer = Answer::kNone, .text = {}});
  Running running(server_, "first", quick_);
  running.Want({kNvme});
  ASSERT_TRUE(server_.WaitForCount("GET", kCrPath, 1));
  EXPECT_TRUE(running.Stop());
}

TEST_F(ControllerTest, GivesUpAPassThatTakesTooLong) {
  server_.Inject({.method = {}, .path = kCrPath, .answer = Answer::kNone, .text = {}});
  Running running(server_, "first",
                  {.interval = milliseconds(20),
                   .first_retry = milliseconds(1),
                   .longest_retry = milliseconds(20),
                   .deadline = milliseconds(300)});
  running.Want({kNvme});
  ASSERT_TRUE(server_.WaitForCount("PATCH", kCrPath, 1));
}

TEST_F(ControllerTest, SharesTheWorkWithAnother) {
  Running first(server_, "first", quick_);
  Running second(server_, "second", quick_);
  first.Want({kNvme});
  second.Want({kNvme});
  ASSERT_TRUE(server_.WaitForCount("GET", kCrPath, 40));
  EXPECT_EQ(
      server_
          .KubeVirt("kubevirt")["spec"]["configuration"]["permittedHostDevices"]["pciHostDevices"]
          .size(),
      1U);
  EXPECT_LE(server_.Writes(), 4) << "each can have tried once";
}

}  // namespace
}  // namespace dp::controller
