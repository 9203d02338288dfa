// SPDX-License-Identifier: Apache-2.0
#include "plugin/kubelet/endpoint.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <semaphore>
#include <set>

#include "plugin/kubelet/folder_watch.h"
#include "tests/fakes/fake_kubelet.h"
#include "tests/fakes/grpc_socket.h"
#include "tests/fakes/loop_thread.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::kubelet {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

constexpr char kResource[] = "vendor.example/nvme";

TEST(SocketPrefixTest, IsShortAndTellsResourcesApart) {
  EXPECT_THAT(SocketPrefix("vendor.example/nvme"), MatchesRegex("vfio-doorbell-nvme-[0-9a-f]{8}-"));
  EXPECT_NE(SocketPrefix("vendor.example/nvme"), SocketPrefix("other.example/nvme"));
  EXPECT_NE(SocketPrefix("vendor.example/a.b"), SocketPrefix("vendor.example/a_b"));
  EXPECT_LE(SocketPrefix("vendor.example/" + std::string(200, 'x')).size(), 40U);
  EXPECT_EQ(SocketPrefix("vendor.example/a.b_c").find_first_of("/_"), std::string::npos);
}

// The least that a kubelet wants to see of a plugin.
class Plugin final : public v1beta1::DevicePlugin::Service {
 public:
  Plugin() {
    grpc::ServerBuilder builder;
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Plugin() override { server_->Shutdown(std::chrono::system_clock::now()); }
  void Serve(base::UniqueFd connection) {
    grpc::AddInsecureChannelFromFd(server_.get(), connection.Release());
  }
  grpc::Status GetDevicePluginOptions(grpc::ServerContext*, const v1beta1::Empty*,
                                      v1beta1::DevicePluginOptions*) override {
    return grpc::Status::OK;
  }
  grpc::Status ListAndWatch(grpc::ServerContext*, const v1beta1::Empty*,
                            grpc::ServerWriter<v1beta1::ListAndWatchResponse>* writer) override {
    writer->Write({});
    return grpc::Status::OK;  // at once: whether it is watched, the tests say
  }

 private:
  std::unique_ptr<grpc::Server> server_;
};

class EndpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    thread_.Do([this] {
      watch_ = std::make_unique<FolderWatch>(thread_.loop(), folder_.path(), [this](bool started) {
        if (endpoint_) endpoint_->OnFolderChange(started);
      });
      endpoint_ = MakeEndpoint();
      // Nobody watches in these tests, so nobody is missed.
      endpoint_->SetWatched(true);
    });
  }
  std::unique_ptr<Endpoint> MakeEndpoint() {
    return Endpoint::Create(thread_.loop(), Endpoint::Way::kKubeletSocket, folder_.path(),
                            kResource,
                            {.connected = [this](base::UniqueFd c) { plugin_.Serve(std::move(c)); },
                             .registered = [this] { registered_.release(); }})
        .value();
  }
  void TearDown() override {
    StopEndpoint();
    thread_.Do([this] { watch_.reset(); });
    thread_.Stop();
  }
  void StopEndpoint() {
    if (!endpoint_) return;
    std::promise<void> stopped;
    thread_.Do([&] { endpoint_->Stop([&] { stopped.set_value(); }); });
    ASSERT_EQ(stopped.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready)
        << "waited 10 s for the registration to stop";
    thread_.Do([this] { endpoint_.reset(); });
  }
  void Start() {
    thread_.Do([this] { endpoint_->Start(); });
  }
  // That the plugin knows: the kubelet knows before.
  bool WaitUntilRegistered() { return registered_.try_acquire_for(std::chrono::seconds(10)); }
  // Of the resource.
  [[nodiscard]] std::vector<std::string> Sockets() const {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      if (entry.path().filename().string().find(SocketPrefix(kResource)) == 0) {
        paths.push_back(entry.path());
      }
    }
    return paths;
  }

  fakes::TemporaryFolder folder_;
  fakes::FakeKubelet kubelet_{folder_.path()};
  Plugin plugin_;
  std::counting_semaphore<> registered_{0};
  fakes::LoopThread thread_;
  std::unique_ptr<FolderWatch> watch_;
  std::unique_ptr<Endpoint> endpoint_;
};

TEST_F(EndpointTest, RegistersWithAKubeletThatIsThere) {
  kubelet_.Start();
  ASSERT_EQ(kubelet_.WaitForRegistrations(kResource, 1), absl::OkStatus());
  const std::string socket = kubelet_.Get(kResource).endpoint;
  EXPECT_THAT(Sockets(), ElementsAre(socket));
  EXPECT_EQ(std::filesystem::status(socket).permissions(), std::filesystem::perms{0600});
}

TEST_F(EndpointTest, NeverRegistersOneSocketTwice) {
  std::set<std::string> seen;
  constexpr int kStarts = 5;
  for (int i = 1; i <= kStarts; ++i) {
    kubelet_.Restart();
    ASSERT_TRUE(WaitUntilRegistered()) << "waited 10 s for registration " << i;
    seen.insert(kubelet_.Get(kResource).endpoint);
    EXPECT_THAT(Sockets(), ElementsAre(kubelet_.Get(kResource).endpoint));
  }
  EXPECT_EQ(seen.size(), std::size_t{kStarts});
}

TEST_F(EndpointTest, WaitsForAKubeletThatComesLater) {
  Start();
  EXPECT_EQ(kubelet_.register_calls(), 0);
  thread_.Do([this] { EXPECT_FALSE(endpoint_->registering()) << "it waits without a timer"; });
  kubelet_.Start();
  EXPECT_EQ(kubelet_.WaitForRegistrations(kResource, 1), absl::OkStatus());
}

TEST_F(EndpointTest, RegistersOnceEachTimeTheKubeletStarts) {
  constexpr int kStarts = 20;
  for (int i = 1; i <= kStarts; ++i) {
    kubelet_.Restart();
    ASSERT_TRUE(WaitUntilRegistered()) << "waited 10 s for registration " << i;
  }
  EXPECT_EQ(kubelet_.register_calls(), kStarts);
}

TEST_F(EndpointTest, RegistersAgainWithAKubeletThatFallsInBetween) {
  kubelet_.Start();
  for (int i = 1; i <= 20; ++i) {
    // The kubelet has accepted, and may be gone before the plugin knows.
    ASSERT_EQ(kubelet_.WaitForRegistrations(kResource, i), absl::OkStatus());
    kubelet_.Restart();
  }
}

TEST_F(EndpointTest, TriesAgainWhenItIsRefused) {
  kubelet_.RefuseRegistrations({grpc::StatusCode::UNKNOWN, "not today"});
  kubelet_.Start();
  ASSERT_EQ(kubelet_.WaitForRegisterCalls(3), absl::OkStatus());
  EXPECT_EQ(kubelet_.Get(kResource).registrations, 0);
  kubelet_.RefuseRegistrations(grpc::Status::OK);
  EXPECT_EQ(kubelet_.WaitForRegistrations(kResource, 1), absl::OkStatus());
}

TEST_F(EndpointTest, DoesNotMissItsSocketUntilItRegisters) {
  kubelet_.Start();
  ASSERT_TRUE(WaitUntilRegistered()) << "waited 10 s for the registration";
  thread_.Do([this] {
    std::filesystem::remove(kubelet_.Get(kResource).endpoint);
    endpoint_->OnFolderChange(false);
    EXPECT_FALSE(endpoint_->registering()) << "the kubelet has all that it needs";
  });
  kubelet_.Restart();
  EXPECT_EQ(kubelet_.WaitForRegistrations(kResource, 2), absl::OkStatus());
}

TEST_F(EndpointTest, LeavesAYoungerProcessAlone) {
  kubelet_.Start();
  ASSERT_TRUE(WaitUntilRegistered()) << "waited 10 s for the registration";
  std::unique_ptr<Endpoint> successor;
  std::promise<void> stopped;
  thread_.Do([&] {
    successor = MakeEndpoint();
    EXPECT_EQ(Sockets().size(), 2U) << "the older one's socket is gone";
    endpoint_->OnFolderChange(true);
    EXPECT_FALSE(endpoint_->registering());
    successor->OnFolderChange(true);
    EXPECT_TRUE(successor->registering()) << "an older process is no reason to wait";
  });
  ASSERT_EQ(kubelet_.WaitForRegistrations(kResource, 2), absl::OkStatus());
  // When the younger one goes, its socket goes, and the older one takes over.
  thread_.Do([&] { successor->Stop([&] { stopped.set_value(); }); });
  stopped.get_future().wait();
  EXPECT_EQ(kubelet_.WaitForRegistrations(kResource, 3), absl::OkStatus());
  thread_.Do([&] { successor.reset(); });
}

TEST_F(EndpointTest, RemovesSocketsThatNobodyListensOn) {
  const std::string stale = folder_.path() + "/" + SocketPrefix(kResource) + "0-1.sock";
  const std::string file = folder_.path() + "/" + SocketPrefix(kResource) + "0-2.sock";
  const std::string other = folder_.path() + "/" + SocketPrefix("vendor.example/nic") + "0-1.sock";
  for (const std::string& path : {stale, other}) {
    const base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    const sockaddr_un address = fakes::AddressOf(path);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              0);
  }
  std::ofstream(file).close();
  StopEndpoint();
  thread_.Do([this] { endpoint_ = MakeEndpoint(); });
  EXPECT_FALSE(std::filesystem::exists(stale));
  EXPECT_TRUE(std::filesystem::exists(file)) << "it is no socket";
  EXPECT_TRUE(std::filesystem::exists(other)) << "it is of another resource";
}

TEST_F(EndpointTest, RegistersAgainWhenNobodyWatches) {
  kubelet_.Start();
  ASSERT_EQ(kubelet_.WaitForRegistrations(kResource, 1), absl::OkStatus());
  thread_.Do([this] { endpoint_->SetWatched(false); });
  EXPECT_EQ(kubelet_.WaitForRegistrations(kResource, 2), absl::OkStatus());
}

TEST_F(EndpointTest, LeavesNoSocketBehind) {
  EXPECT_EQ(Sockets().size(), 1U);
  StopEndpoint();
  EXPECT_THAT(Sockets(), IsEmpty());
}

TEST_F(EndpointTest, StaysStopped) {
  kubelet_.Start();
  std::promise<void> stopped;
  thread_.Do([&] { endpoint_->Stop([&] { stopped.set_value(); }); });
  stopped.get_future().wait();
  thread_.Do([this] {
    endpoint_->OnFolderChange(true);
    endpoint_->SetWatched(false);
    EXPECT_FALSE(endpoint_->registering());
    EXPECT_THAT(Sockets(), IsEmpty());
  });
}

TEST_F(EndpointTest, SaysWhyItCannotListen) {
  absl::Status status;
  thread_.Do([&] {
    status = Endpoint::Create(thread_.loop(), Endpoint::Way::kKubeletSocket,
                              folder_.path() + "/missing", kResource, {})
                 .status();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(folder_.path() + "/missing"));
}

}  // namespace
}  // namespace dp::kubelet
