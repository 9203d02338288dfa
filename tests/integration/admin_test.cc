// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "api/admin/v1/api.grpc.pb.h"
#include "tests/fakes/fake_pod_resources.h"
#include "tests/fakes/grpc_socket.h"
#include "tests/integration/world.h"

// What doorbellctl and the monitor ask.

namespace dp::integration {
namespace {

namespace v1 = ::vfio_doorbell::admin::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr char kDevice[] = "0000:01:00.0";
constexpr char kOther[] = "0000:02:00.0";
constexpr std::uint64_t kFirstWindow = 0x09100000;

class AdminTest : public World {
 protected:
  AdminTest() : pods_(path("pods.sock")) {
    AddDevice(kDevice, 11);
    AddDevice(kOther, 12);
    pods_.Start();
  }

  std::unique_ptr<v1::Admin::Stub> Connect() {
    return v1::Admin::NewStub(
        grpc::CreateInsecureChannelFromFd("admin", fakes::ConnectTo(path("admin.sock")).Release()));
  }
  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + 20s);
  }
  v1::NodeState GetState() {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::NodeState state;
    const grpc::Status status = Connect()->GetState(&context, {}, &state);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return state;
  }
  grpc::Status Release(std::uint64_t base, v1::ReleaseResponse* answer) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::ReleaseRequest request;
    request.set_base(base);
    return Connect()->Release(&context, request, answer);
  }
  void StartPod() {
    ASSERT_TRUE(kubelet_.Allocate(kResource, {kDevice}, nullptr).ok());
    pods_.SetPods({{.pod = {.space = "default", .name = "vm"},
                    .container = "compute",
                    .resource = kResource,
                    .devices = {kDevice}}});
    ASSERT_TRUE(kubelet_.PreStartContainer(kResource, {kDevice}).ok());
  }
  std::size_t AnonymousKiB() const {
    std::ifstream smaps("/proc/" + std::to_string(daemon_->pid()) + "/smaps_rollup");
    for (std::string line; std::getline(smaps, line);) {
      if (line.starts_with("Anonymous:")) return std::stoul(line.substr(10));
    }
    ADD_FAILURE() << "the memory of the daemon cannot be read";
    return 0;
  }

  // Than so many KiB.
  void ExpectLittleMore(std::size_t before) const {
    if (!PluginKeepsWhatIsFreed()) {
      EXPECT_LT(AnonymousKiB(), before + 4096);
    }
  }

  fakes::FakePodResources pods_;
};

TEST_F(AdminTest, SaysWhoHasWhat) {
  StartAndList(2);
  StartPod();
  const v1::NodeState state = GetState();
  EXPECT_EQ(state.daemon().mode(), v1::MODE_ENFORCE);
  EXPECT_EQ(state.daemon().config_generation(), 1U);
  EXPECT_EQ(state.daemon().config_hash().size(), 8U);
  EXPECT_EQ(state.daemon().groups_with_knob(), 2U);
  EXPECT_EQ(state.pool().free() + 1, state.pool().windows());
  ASSERT_EQ(state.resources_size(), 1);
  EXPECT_TRUE(state.resources(0).watched());
  EXPECT_EQ(state.resources(0).registrations(), 1U);
  ASSERT_EQ(state.devices_size(), 2);
  EXPECT_EQ(state.devices(0).id(), kDevice);
  EXPECT_EQ(state.devices(0).group(), 11U);
  EXPECT_EQ(state.devices(0).driver(), "vfio-pci");
  EXPECT_EQ(state.devices(0).state(), v1::DEVICE_STARTED);
  EXPECT_EQ(state.devices(0).window().base(), kFirstWindow);
  EXPECT_EQ(state.devices(0).pod().name(), "vm");
  EXPECT_EQ(state.devices(1).state(), v1::DEVICE_FREE);
  ASSERT_GE(state.occurrences_size(), 1);
  const v1::Occurrence& last = state.occurrences(state.occurrences_size() - 1);
  EXPECT_EQ(last.reason(), "window_reserved");
  EXPECT_EQ(last.pod().name(), "vm");
}

TEST_F(AdminTest, TellsEachChangeAtMostOnceASecond) {
  kubelet_.Start();
  Start({"--rescan-interval", "1"});
  ASSERT_EQ(kubelet_.WaitForDevices(kResource, 2), absl::OkStatus()) << daemon_->log();
  grpc::ClientContext context;
  SetDeadline(context);
  const auto stub = Connect();
  const auto stream = stub->WatchState(&context, {});
  v1::NodeState state;
  ASSERT_TRUE(stream->Read(&state));
  const std::uint64_t first = state.revision();
  StartPod();
  sysfs_.AddPciFunction({.address = "0000:02:00.1", .group = 12, .driver = "nvme"});
  int messages = 0;
  const auto start = std::chrono::steady_clock::now();
  do {
    ASSERT_TRUE(stream->Read(&state));
    EXPECT_GT(state.revision(), first);
    ++messages;
  } while (state.devices(0).state() != v1::DEVICE_STARTED ||
           state.devices(1).reason() != "foreign_sibling");
  const auto seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LE(messages, 1 + seconds / 900ms);
  context.TryCancel();
}

TEST_F(AdminTest, EndsAReservationByHand) {
  StartAndList(2);
  StartPod();
  v1::ReleaseResponse answer;
  const grpc::Status living = Release(kFirstWindow, &answer);
  EXPECT_EQ(living.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(living.error_message(), HasSubstr("default/vm"));
  pods_.SetPods(std::vector<core::PodDevices>());
  EXPECT_EQ(Release(kFirstWindow + 1, &answer).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Release(0, &answer).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const grpc::Status gone = Release(kFirstWindow, &answer);
  ASSERT_TRUE(gone.ok()) << gone.error_message();
  EXPECT_THAT(answer.devices(), ElementsAre(kDevice));
  EXPECT_EQ(GetState().devices(0).state(), v1::DEVICE_FREE);
  EXPECT_THAT(daemon_->log(), HasSubstr("reason=released_by_hand"));
}

TEST_F(AdminTest, CountsCallsByWhatHasComeOfThem) {
  StartAndList(2);
  StartPod();
  ASSERT_FALSE(kubelet_.Allocate(kResource, {"0000:09:00.0"}, nullptr).ok());
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GetMetricsResponse metrics;
  ASSERT_TRUE(Connect()->GetMetrics(&context, {}, &metrics).ok());
  std::map<std::string, double> values;
  for (const v1::MetricFamily& family : metrics.families()) {
    for (const v1::Metric& metric : family.metrics()) {
      if (metric.labels().empty()) continue;
      values[family.name() + " " + metric.labels().rbegin()->value()] = metric.value();
    }
  }
  EXPECT_EQ(values["vfio_doorbell_allocations_total ok"], 1);
  EXPECT_EQ(values["vfio_doorbell_allocations_total no_such_device"], 1);
  EXPECT_EQ(values["vfio_doorbell_container_starts_total ok"], 1);
  EXPECT_EQ(values["vfio_doorbell_kernel_writes_total 0"], 1);
}

TEST_F(AdminTest, TellsAProbeHowItIs) {
  const auto probe = [this](const char* what) {
    Daemon asker({"--admin-socket", path("admin.sock"), "--probe", what}, path("probe"));
    EXPECT_NE(asker.Wait(), Daemon::kStillRuns);
    return asker.log();
  };
  std::filesystem::create_directory(path("probe"));
  EXPECT_THAT(probe("live"), HasSubstr("admin.sock"));
  Start();
  const auto deadline = std::chrono::steady_clock::now() + Daemon::kPatience;
  while (!probe("live").empty()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "it is not live after 10 s";
  }
  EXPECT_THAT(probe("ready"),
              HasSubstr("the kubelet does not watch vendor.example/nvme: there is no socket " +
                        path("plugins/kubelet.sock")));
  kubelet_.Start();
  ASSERT_EQ(kubelet_.WaitForDevices(kResource, 2), absl::OkStatus()) << daemon_->log();
  EXPECT_EQ(probe("ready"), "");
  daemon_->Signal(SIGSTOP);
  EXPECT_THAT(probe("live"), HasSubstr("admin.sock"));
  daemon_->Signal(SIGCONT);
  EXPECT_EQ(probe("live"), "");
}

TEST_F(AdminTest, IsForRootAlone) {
  StartAndList(2);
  EXPECT_EQ(std::filesystem::status(path("admin.sock")).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  Stop();
  EXPECT_FALSE(std::filesystem::exists(path("admin.sock")));
}

TEST_F(AdminTest, GoesOnWithoutASocket) {
  std::filesystem::create_directory(path("admin.sock"));
  StartAndList(2);
  EXPECT_THAT(daemon_->log(), HasSubstr("nobody can ask reason=not_listening"));
  StartPod();
}

TEST_F(AdminTest, IsNotHeldUpByWhoeverComes) {
  StartAndList(2);
  const std::size_t before = AnonymousKiB();
  // 300 who say nothing, or nonsense, or much.
  std::vector<base::UniqueFd> silent;
  const std::string nonsense(1 << 16, 'x');
  for (int i = 0; i < 300; ++i) {
    silent.push_back(fakes::ConnectTo(path("admin.sock")));
    if (i % 3 == 1)
      ::send(silent.back().get(), nonsense.data(), nonsense.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (i % 3 == 2)
      ::send(silent.back().get(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24,
             MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  const auto start = std::chrono::steady_clock::now();
  StartPod();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s) << "the kubelet waits";
  ExpectLittleMore(before);
  silent.clear();
  EXPECT_EQ(GetState().devices(0).state(), v1::DEVICE_STARTED);
}

TEST_F(AdminTest, AnswersAThousandAtOnce) {
  StartAndList(2);
  const std::size_t before = AnonymousKiB();
  constexpr int kClients = 1000;
  std::atomic<int> answered = 0;
  std::vector<std::jthread> threads;
  constexpr int kThreads = 20;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&] {
      std::vector<std::unique_ptr<v1::Admin::Stub>> stubs;
      for (int i = 0; i < kClients / kThreads; ++i) stubs.push_back(Connect());
      for (auto& stub : stubs) {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + 60s);
        v1::NodeState state;
        if (stub->GetState(&context, {}, &state).ok()) ++answered;
        stub.reset();
      }
    });
  }
  threads.clear();
  EXPECT_EQ(answered, kClients);
  ExpectLittleMore(before);
}

}  // namespace
}  // namespace dp::integration
