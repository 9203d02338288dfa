// SPDX-License-Identifier: Apache-2.0
#include "plugin/kubelet/pod_resources.h"

#include <fmt/format.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/status.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "api/kubelet/podresources/v1/api.grpc.pb.h"
#include "plugin/base/status_macros.h"
#include "plugin/kubelet/pod_devices.h"
#include "plugin/os/unix_connect.h"

// Each call has a connection of its own, made here and handed to gRPC, as each attempt of
// kubelet/registration has one, and for the same reasons. A connection that is kept would have to
// be found dead after each restart of the kubelet, by a call that fails for nothing; a new one
// costs a fraction of what the kubelet takes to answer.

namespace dp::kubelet {
namespace {

using Pods = absl::StatusOr<std::vector<core::PodDevices>>;

// What clients of this API allow for (kubernetes test/e2e_node/util.go,
// defaultPodResourcesMaxSize). gRPC's own 4 MiB are less than the list of a node with many pods may
// have, and the kubelet sends whatever it is.
constexpr int kLargestAnswer = 16 * 1024 * 1024;

// Of PodResourcesLister. Called by its name and without the generated stub, which takes an answer
// that it cannot parse, or that never came, for an empty list that is fine: nobody would hold
// anything any more.
constexpr char kList[] = "/v1.PodResourcesLister/List";

absl::Status StatusOf(const grpc::Status& answer) {
  // The codes of both have the same numbers (absl/status/status.h).
  const auto code = static_cast<absl::StatusCode>(answer.error_code());
  return {code,
          answer.error_message().empty() ? absl::StatusCodeToString(code) : answer.error_message()};
}

// What the kubelet says in a call that has ended with `status`.
Pods PodsOf(const absl::Status& status, const grpc::ByteBuffer& response) {
  if (absl::IsUnimplemented(status)) {
    return absl::NotFoundError("it has no PodResources API v1");
  }
  RETURN_IF_ERROR(status);
  grpc::Slice bytes;
  if (!response.Valid() || !response.DumpToSingleSlice(&bytes).ok()) {
    return absl::DataLossError("it says nothing");
  }
  return ParsePodDevices({reinterpret_cast<const char*>(bytes.begin()), bytes.size()});
}

void Answer(const std::vector<core::PodLister::Listed>& callers, const Pods& answer) {
  for (const auto& done : callers) done(answer);
}

}  // namespace

struct PodResources::Call {
  using Stub = grpc::TemplatedGenericStub<v1::ListPodResourcesRequest, grpc::ByteBuffer>;

  grpc::ClientContext context;
  const v1::ListPodResourcesRequest request;
  grpc::ByteBuffer response;
  std::unique_ptr<Stub> stub;
  std::vector<Listed> callers;  // empty: abandoned
  std::optional<os::EventLoop::TimerId> timeout;
};

PodResources::PodResources(os::EventLoop& loop, std::string socket,
                           os::EventLoop::Clock::duration deadline)
    : loop_(loop), socket_(std::move(socket)), deadline_(deadline) {}

PodResources::~PodResources() = default;

void PodResources::List(Listed done) {
  if (stopping_) {
    done(StoppedError());
    return;
  }
  waiting_.push_back(std::move(done));
  BeginNext();
}

void PodResources::BeginNext() {
  if (waiting_.empty() || calls_.size() >= kMostCalls) return;
  std::vector<Listed> callers = std::exchange(waiting_, {});
  auto connection = os::ConnectUnix(socket_);
  if (!connection.ok()) {
    Answer(callers, connection.status());
    return;
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kLargestAnswer);
  Call* call = calls_.emplace_back(std::make_unique<Call>()).get();
  call->callers = std::move(callers);
  call->stub = std::make_unique<Call::Stub>(
      grpc::CreateCustomInsecureChannelFromFd("kubelet", connection->Release(), arguments));
  // Not the deadline of the call: gRPC's timers stand still (server/quiet_grpc.h).
  call->timeout = loop_.CallAfter(deadline_, [this, call] { OnTimeout(call); });
  call->stub->UnaryCall(
      &call->context, kList, {}, &call->request, &call->response,
      [this, call](const grpc::Status& answer) {
        loop_.Post([this, call, status = StatusOf(answer)] { OnAnswer(call, status); });
      });
}

void PodResources::OnTimeout(Call* call) {
  call->timeout.reset();
  call->context.TryCancel();
  Answer(std::exchange(call->callers, {}),
         absl::DeadlineExceededError(
             fmt::format("the kubelet at {} has not listed its pods in {:g} s", socket_,
                         std::chrono::duration<double>(deadline_).count())));
}

void PodResources::OnAnswer(Call* call, const absl::Status& status) {
  const auto found = std::find_if(calls_.begin(), calls_.end(),
                                  [call](const auto& owned) { return owned.get() == call; });
  std::unique_ptr<Call> owned = std::move(*found);
  calls_.erase(found);
  if (call->timeout) loop_.Cancel(*call->timeout);
  if (!call->callers.empty()) {
    Pods pods = PodsOf(status, call->response);
    if (!pods.ok()) {
      pods = absl::Status(pods.status().code(),
                          fmt::format("the kubelet at {} does not list its pods: {}", socket_,
                                      std::string(pods.status().message())));
    }
    Answer(call->callers, pods);
  }
  owned.reset();
  BeginNext();
  if (calls_.empty() && stopped_) std::exchange(stopped_, nullptr)();
}

void PodResources::Stop(std::function<void()> stopped) {
  stopping_ = true;
  std::vector<Listed> callers;
  for (const auto& call : calls_) {
    if (call->timeout) loop_.Cancel(*std::exchange(call->timeout, std::nullopt));
    call->context.TryCancel();
    std::move(call->callers.begin(), call->callers.end(), std::back_inserter(callers));
    call->callers.clear();
  }
  std::move(waiting_.begin(), waiting_.end(), std::back_inserter(callers));
  waiting_.clear();
  Answer(callers, StoppedError());
  // In a later turn, because this may be called by one of several callers who are being answered:
  // the others come first.
  if (calls_.empty()) {
    loop_.Post(std::move(stopped));
  } else {
    stopped_ = std::move(stopped);
  }
}

absl::Status PodResources::StoppedError() const {
  return absl::UnavailableError(
      fmt::format("the kubelet at {} is not asked any more: the plugin stops", socket_));
}

}  // namespace dp::kubelet
