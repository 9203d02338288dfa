// SPDX-License-Identifier: Apache-2.0
#include "plugin/kubelet/pod_resources.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpc/grpc.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "plugin/base/unique_fd.h"
#include "tests/fakes/fake_kubelet.h"
#include "tests/fakes/fake_pod_resources.h"
#include "tests/fakes/grpc_socket.h"
#include "tests/fakes/loop_thread.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::kubelet {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::FieldsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Pods = absl::StatusOr<std::vector<core::PodDevices>>;

constexpr char kResource[] = "vendor.example/nvme";
constexpr std::chrono::seconds kPatience{10};  // of all waits
// Of a kubelet that is not meant to answer in time.
constexpr std::chrono::milliseconds kShortDeadline{20};

// A pod with one device.
core::PodDevices PodWith(const std::string& name, const std::string& device) {
  return {.pod = {.space = "vms", .name = name},
          .container = "compute",
          .resource = kResource,
          .devices = {device}};
}

std::vector<std::string> NamesOf(const Pods& pods) {
  std::vector<std::string> names;
  for (const core::PodDevices& entry : pods.value()) names.push_back(entry.pod.name);
  return names;
}

// Listens as the kubelet does, and is none: it says `bytes` to whom it accepts, once they have said
// something, and hangs up.
class Stranger {
 public:
  Stranger(const std::string& path, std::string_view bytes)
      : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_un address = fakes::AddressOf(path);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              0);
    EXPECT_EQ(::listen(listener_.get(), SOMAXCONN), 0);
    thread_ = std::thread([this, bytes = std::string(bytes)] { Serve(bytes); });
  }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;
  ~Stranger() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

 private:
  void Serve(const std::string& bytes) {
    while (true) {
      const base::UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection.valid()) return;
      char heard = 0;
      EXPECT_GT(::recv(connection.get(), &heard, 1, 0), 0);
      EXPECT_EQ(::send(connection.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(bytes.size()));
    }
  }

  base::UniqueFd listener_;
  std::thread thread_;
};

// Speaks gRPC, and answers each call with Ok and with bytes that no kubelet would say.
class Babbler final : public grpc::CallbackGenericService {
 public:
  explicit Babbler(const std::string& path) {
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
    socket_ = std::make_unique<fakes::GrpcSocket>(*server_, path);
    socket_->Open();
  }
  ~Babbler() override {
    socket_->Close();
    server_->Shutdown(std::chrono::system_clock::now());
  }
  // Before a call comes. Empty: no message at all.
  void Say(std::optional<std::string> bytes) { bytes_ = std::move(bytes); }

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* /*context*/) override {
    class Reactor final : public grpc::ServerGenericBidiReactor {
     public:
      explicit Reactor(const std::optional<std::string>& bytes) {
        if (!bytes) {
          Finish(grpc::Status::OK);
          return;
        }
        const grpc::Slice slice(*bytes);
        message_ = grpc::ByteBuffer(&slice, 1);
        StartWriteAndFinish(&message_, {}, grpc::Status::OK);
      }
      void OnDone() override { delete this; }

     private:
      grpc::ByteBuffer message_;
    };
    return new Reactor(bytes_);
  }

 private:
  std::optional<std::string> bytes_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<fakes::GrpcSocket> socket_;
};

class PodResourcesTest : public ::testing::Test {
 protected:
  void TearDown() override {
    Stop();
    thread_.Stop();
  }
  void SetDeadline(std::chrono::milliseconds deadline) {
    pods_ = std::make_unique<PodResources>(thread_.loop(), fake_.path(), deadline);
  }
  // Asks, in one turn with others if it is called in one. A second answer would end the test with a
  // std::future_error.
  std::future<Pods> AskInTurn() {
    auto answer = std::make_shared<std::promise<Pods>>();
    pods_->List([answer](Pods pods) { answer->set_value(std::move(pods)); });
    return answer->get_future();
  }
  std::future<Pods> Ask() {
    std::future<Pods> answer;
    thread_.Do([&] { answer = AskInTurn(); });
    return answer;
  }
  static Pods Wait(std::future<Pods> answer) {
    if (answer.wait_for(kPatience) == std::future_status::ready) return answer.get();
    return absl::InternalError("waited 10 s for an answer");
  }
  Pods List() { return Wait(Ask()); }
  // What List() says is wrong.
  void ExpectError(const Pods& pods, absl::StatusCode code, const std::string& text) {
    EXPECT_EQ(pods.status().code(), code) << pods.status();
    EXPECT_THAT(std::string(pods.status().message()), HasSubstr(text));
    EXPECT_THAT(std::string(pods.status().message()), HasSubstr(fake_.path()));
  }
  // Returns when nothing is under way any more. Harmless a second time.
  void Stop() {
    if (std::exchange(stopped_, true)) return;
    std::promise<void> stopped;
    thread_.Do([&] { pods_->Stop([&] { stopped.set_value(); }); });
    ASSERT_EQ(stopped.get_future().wait_for(kPatience), std::future_status::ready)
        << "waited 10 s for the calls to stop";
  }

  fakes::TemporaryFolder folder_;
  fakes::FakePodResources fake_{folder_.path() + "/kubelet.sock"};
  fakes::LoopThread thread_;
  std::unique_ptr<PodResources> pods_ =
      std::make_unique<PodResources>(thread_.loop(), fake_.path());
  bool stopped_ = false;
};

TEST_F(PodResourcesTest, ListsWhatPodsHold) {
  fake_.SetPods({PodWith("web", "0000:01:00.0"), PodWith("db", "0000:02:00.0")});
  fake_.Start();
  const Pods pods = List();
  ASSERT_EQ(pods.status(), absl::OkStatus());
  EXPECT_THAT(
      *pods,
      ElementsAre(
          FieldsAre(FieldsAre("vms", "web"), "compute", kResource, ElementsAre("0000:01:00.0")),
          FieldsAre(FieldsAre("vms", "db"), "compute", kResource, ElementsAre("0000:02:00.0"))));
}

TEST_F(PodResourcesTest, ListsNothingOfAnEmptyNode) {
  fake_.Start();
  const Pods pods = List();
  ASSERT_EQ(pods.status(), absl::OkStatus());
  EXPECT_THAT(*pods, IsEmpty());
}

TEST_F(PodResourcesTest, ListsAThousandPods) {
  std::vector<core::PodDevices> entries;
  for (int i = 0; i < 1000; ++i) {
    entries.push_back(PodWith(fmt::format("pod-{}", i), fmt::format("{:04x}:01:00.0", i)));
  }
  fake_.SetPods(entries);
  fake_.Start();
  const Pods pods = List();
  ASSERT_EQ(pods.status(), absl::OkStatus());
  ASSERT_THAT(*pods, SizeIs(1000));
  EXPECT_THAT(pods->back(), FieldsAre(FieldsAre("vms", "pod-999"), "compute", kResource,
                                      ElementsAre("03e7:01:00.0")));
}

// Where a server has had to wait for its reader, a thread of gRPC's stays for 10 s (the backup
// poller in tcp_posix.cc), and the last one to use the library would wait for it.
class LargePodResourcesTest : public PodResourcesTest {
 protected:
  static void SetUpTestSuite() { grpc_init(); }
};

TEST_F(LargePodResourcesTest, TakesMoreThanGrpcTakesByItself) {
  fake_.SetPods({PodWith(std::string(5 << 20, 'x'), "0000:01:00.0")});
  fake_.Start();
  EXPECT_EQ(List().status(), absl::OkStatus());
}

TEST_F(LargePodResourcesTest, RefusesAnAnswerThatIsTooLarge) {
  fake_.SetPods({PodWith(std::string(16 << 20, 'x'), "0000:01:00.0")});
  fake_.Start();
  ExpectError(List(), absl::StatusCode::kResourceExhausted, "larger than max");
}

TEST_F(PodResourcesTest, SaysThatThereIsNoSocket) {
  ExpectError(List(), absl::StatusCode::kNotFound, "cannot connect to");
}

TEST_F(PodResourcesTest, SaysThatNobodyListens) {
  fake_.Start();
  fake_.Stop();
  ExpectError(List(), absl::StatusCode::kUnavailable, "cannot connect to");
}

TEST_F(PodResourcesTest, SaysThatAKubeletDoesNotHaveTheApi) {
  // One that serves another API at this path.
  fakes::FakeKubelet other(folder_.path());
  other.Start();
  ASSERT_EQ(other.socket_path(), fake_.path());
  ExpectError(List(), absl::StatusCode::kNotFound, "it has no PodResources API v1");
}

TEST_F(PodResourcesTest, PassesOnWhyTheKubeletRefuses) {
  // pkg/kubelet/apis/grpc/ratelimit.go
  fake_.Refuse({grpc::StatusCode::RESOURCE_EXHAUSTED, "rejected by rate limit"});
  fake_.Start();
  ExpectError(List(), absl::StatusCode::kResourceExhausted, "rejected by rate limit");
  fake_.Refuse(grpc::Status::OK);
  EXPECT_EQ(List().status(), absl::OkStatus());
}

TEST_F(PodResourcesTest, NamesTheCodeOfARefusalWithoutWords) {
  fake_.Refuse({grpc::StatusCode::PERMISSION_DENIED, ""});
  fake_.Start();
  ExpectError(List(), absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED");
}

TEST_F(PodResourcesTest, FindsAKubeletThatHasRestarted) {
  fake_.SetPods({PodWith("web", "0000:01:00.0")});
  fake_.Start();
  ASSERT_EQ(List().status(), absl::OkStatus());
  for (int i = 0; i < 20; ++i) {
    fake_.Restart();
    ASSERT_EQ(List().status(), absl::OkStatus()) << "after restart " << i;
  }
}

TEST_F(PodResourcesTest, SaysThatTheKubeletDiesOverACall) {
  fake_.Hold();
  fake_.Start();
  std::future<Pods> answer = Ask();
  ASSERT_EQ(fake_.WaitForCalls(1), absl::OkStatus());
  fake_.Stop();
  ExpectError(Wait(std::move(answer)), absl::StatusCode::kUnavailable, "does not list its pods");
}

TEST_F(PodResourcesTest, GivesUpOnAKubeletThatIsSlow) {
  SetDeadline(kShortDeadline);
  fake_.SetPods({PodWith("web", "0000:01:00.0")});
  fake_.Hold();
  fake_.Start();
  ExpectError(List(), absl::StatusCode::kDeadlineExceeded, "has not listed its pods in 0.02 s");
  // What it says later is not heard.
  fake_.Release();
  Stop();
}

TEST_F(PodResourcesTest, GivesUpOnAnOpenSocketThatIsSilent) {
  SetDeadline(kShortDeadline);
  const base::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = fakes::AddressOf(fake_.path());
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
            0);
  ASSERT_EQ(::listen(listener.get(), SOMAXCONN), 0);
  ExpectError(List(), absl::StatusCode::kDeadlineExceeded, "has not listed its pods");
}

TEST_F(PodResourcesTest, GivesUpOnAStrangerAtOnce) {
  for (const std::string_view bytes :
       {std::string_view(), std::string_view("HTTP/1.1 400 Bad Request\r\n\r\n"),
        std::string_view("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20),
        std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12)}) {
    const Stranger stranger(fake_.path(), bytes);
    const absl::Status status = List().status();
    EXPECT_THAT(status.code(), AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kInternal,
                                     absl::StatusCode::kUnknown))
        << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(fake_.path() + " does not list its pods"));
    ASSERT_EQ(::unlink(fake_.path().c_str()), 0);
  }
}

TEST_F(PodResourcesTest, TellsNonsenseFromAnEmptyList) {
  Babbler babbler(fake_.path());
  babbler.Say("hello");
  ExpectError(List(), absl::StatusCode::kDataLoss, "is no ListPodResourcesResponse");
  babbler.Say(std::nullopt);
  ExpectError(List(), absl::StatusCode::kDataLoss, "says nothing");
  babbler.Say("");
  const Pods pods = List();
  ASSERT_EQ(pods.status(), absl::OkStatus());
  EXPECT_THAT(*pods, IsEmpty());
}

TEST_F(PodResourcesTest, AnswersNobodyWithWhatWasSaidBeforeTheQuestion) {
  fake_.SetPods({PodWith("early", "0000:01:00.0")});
  fake_.Hold();
  fake_.Start();
  std::future<Pods> early = Ask();
  ASSERT_EQ(fake_.WaitForCalls(1), absl::OkStatus());
  fake_.SetPods({PodWith("early", "0000:01:00.0"), PodWith("late", "0000:02:00.0")});
  std::future<Pods> late = Ask();
  ASSERT_EQ(fake_.WaitForCalls(2), absl::OkStatus());
  fake_.Release();
  EXPECT_THAT(NamesOf(Wait(std::move(early))), ElementsAre("early"));
  EXPECT_THAT(NamesOf(Wait(std::move(late))), ElementsAre("early", "late"));
}

TEST_F(PodResourcesTest, AsksForAllWhoWaitWithOneCall) {
  fake_.Hold();
  fake_.Start();
  std::vector<std::future<Pods>> first;
  for (std::size_t i = 0; i < PodResources::kMostCalls; ++i) first.push_back(Ask());
  ASSERT_EQ(fake_.WaitForCalls(PodResources::kMostCalls), absl::OkStatus());
  fake_.SetPods({PodWith("late", "0000:02:00.0")});
  std::vector<std::future<Pods>> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(Ask());
  fake_.Release();
  for (std::future<Pods>& answer : first) {
    EXPECT_THAT(NamesOf(Wait(std::move(answer))), IsEmpty());
  }
  for (std::future<Pods>& answer : waiting) {
    EXPECT_THAT(NamesOf(Wait(std::move(answer))), ElementsAre("late"));
  }
  EXPECT_EQ(fake_.calls(), PodResources::kMostCalls + 1);
}

TEST_F(PodResourcesTest, AsksForThoseWhoWaitWhenACallHasTimedOut) {
  SetDeadline(kShortDeadline);
  fake_.Hold();
  fake_.Start();
  std::vector<std::future<Pods>> answers;
  thread_.Do([&] {
    for (std::size_t i = 0; i < PodResources::kMostCalls + 3; ++i) answers.push_back(AskInTurn());
  });
  for (std::future<Pods>& answer : answers) {
    ExpectError(Wait(std::move(answer)), absl::StatusCode::kDeadlineExceeded, "has not listed");
  }
}

TEST_F(PodResourcesTest, TellsAllWhoWaitThatThereIsNoSocket) {
  fake_.Hold();
  fake_.Start();
  std::vector<std::future<Pods>> first;
  for (std::size_t i = 0; i < PodResources::kMostCalls; ++i) first.push_back(Ask());
  ASSERT_EQ(fake_.WaitForCalls(PodResources::kMostCalls), absl::OkStatus());
  std::vector<std::future<Pods>> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(Ask());
  ASSERT_EQ(::unlink(fake_.path().c_str()), 0);
  fake_.Release();
  for (std::future<Pods>& answer : first) {
    EXPECT_EQ(Wait(std::move(answer)).status(), absl::OkStatus());
  }
  for (std::future<Pods>& answer : waiting) {
    ExpectError(Wait(std::move(answer)), absl::StatusCode::kNotFound, "cannot connect to");
  }
}

TEST_F(PodResourcesTest, CanBeAskedAgainByWhoIsAnswered) {
  fake_.Start();
  std::promise<absl::Status> second;
  thread_.Do([&] {
    pods_->List([&](const Pods&) {
      pods_->List([&](const Pods& pods) { second.set_value(pods.status()); });
    });
  });
  std::future<absl::Status> status = second.get_future();
  ASSERT_EQ(status.wait_for(kPatience), std::future_status::ready) << "waited 10 s for an answer";
  EXPECT_EQ(status.get(), absl::OkStatus());
  EXPECT_EQ(fake_.calls(), 2);
}

TEST_F(PodResourcesTest, StopsWithNothingUnderWay) {
  fake_.Start();
  Stop();
  ExpectError(List(), absl::StatusCode::kUnavailable, "is not asked any more");
  EXPECT_EQ(fake_.calls(), 0);
}

TEST_F(PodResourcesTest, StopsWithCallsUnderWay) {
  fake_.Hold();
  fake_.Start();
  std::vector<std::future<Pods>> answers;
  for (std::size_t i = 0; i < PodResources::kMostCalls + 3; ++i) answers.push_back(Ask());
  ASSERT_EQ(fake_.WaitForCalls(PodResources::kMostCalls), absl::OkStatus());
  Stop();
  for (std::future<Pods>& answer : answers) {
    ASSERT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::ready)
        << "somebody waits after the stop";
    ExpectError(answer.get(), absl::StatusCode::kUnavailable, "is not asked any more");
  }
  EXPECT_EQ(fake_.calls(), PodResources::kMostCalls);
  // Nothing is left that could be answered, or use the loop.
  thread_.Do([this] { pods_.reset(); });
  fake_.Release();
}

TEST_F(PodResourcesTest, StopsAfterThoseWhoAreBeingAnswered) {
  fake_.Hold();
  fake_.Start();
  std::vector<std::future<Pods>> first;
  for (std::size_t i = 0; i < PodResources::kMostCalls; ++i) first.push_back(Ask());
  ASSERT_EQ(fake_.WaitForCalls(PodResources::kMostCalls), absl::OkStatus());
  std::promise<bool> answered_before;
  std::future<Pods> other;
  thread_.Do([&] {
    pods_->List([&](const Pods&) {
      pods_->Stop([&] {
        answered_before.set_value(other.wait_for(std::chrono::seconds(0)) ==
                                  std::future_status::ready);
      });
    });
    other = AskInTurn();  // shares the call
  });
  fake_.Release();
  std::future<bool> stopped = answered_before.get_future();
  ASSERT_EQ(stopped.wait_for(kPatience), std::future_status::ready)
      << "waited 10 s for the calls to stop";
  EXPECT_TRUE(stopped.get());
  stopped_ = true;
}

}  // namespace
}  // namespace dp::kubelet
