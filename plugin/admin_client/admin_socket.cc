// SPDX-License-Identifier: Apache-2.0
#include "plugin/admin_client/admin_socket.h"

#include <fmt/format.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/status.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "api/admin/v1/api.grpc.pb.h"
#include "plugin/base/unique_fd.h"
#include "plugin/os/unix_connect.h"

namespace dp::admin_client {
namespace {

// The state of 4,096 devices, each with a pod and a failure, has about 3 MiB.
constexpr int kLargestAnswer = 16 * 1024 * 1024;

// Called by name and without the generated stub, which takes an answer that it cannot parse, or
// that never came, for an empty one that is fine.
constexpr char kGetState[] = "/vfio_doorbell.admin.v1.Admin/GetState";
constexpr char kGetMetrics[] = "/vfio_doorbell.admin.v1.Admin/GetMetrics";
constexpr char kRelease[] = "/vfio_doorbell.admin.v1.Admin/Release";

std::shared_ptr<grpc::Channel> ChannelOver(base::UniqueFd connection) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kLargestAnswer);
  return grpc::CreateCustomInsecureChannelFromFd("daemon", connection.Release(), arguments);
}

absl::Status StatusOf(const grpc::Status& answer) {
  // The codes of both have the same numbers (absl/status/status.h).
  return {static_cast<absl::StatusCode>(answer.error_code()), answer.error_message()};
}

template <typename Message>
absl::StatusOr<Message> Parse(const grpc::ByteBuffer& bytes) {
  grpc::Slice slice;
  Message message;
  // Of a message without fields nothing is sent, and it has no slice then.
  if (bytes.Length() == 0) return message;
  if (!bytes.DumpToSingleSlice(&slice).ok() ||
      !message.ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    return absl::DataLossError("its answer makes no sense");
  }
  return message;
}

template <typename Owned>
std::unique_ptr<Owned> Take(std::vector<std::unique_ptr<Owned>>& all, const Owned* one) {
  const auto found =
      std::find_if(all.begin(), all.end(), [one](const auto& owned) { return owned.get() == one; });
  std::unique_ptr<Owned> taken = std::move(*found);
  all.erase(found);
  return taken;
}

}  // namespace

struct AdminSocket::Call {
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;
  std::unique_ptr<grpc::GenericStub> stub;
  std::function<void(Bytes)> done;  // null: abandoned
  std::optional<os::EventLoop::TimerId> timeout;
};

// Reads one message at a time: the next one only when the loop has seen the last.
class AdminSocket::Stream final : public grpc::ClientReadReactor<v1::NodeState> {
 public:
  Stream(AdminSocket& owner, const std::shared_ptr<grpc::Channel>& channel)
      : owner_(owner), stub_(v1::Admin::NewStub(channel)) {}

  void Begin() {
    stub_->async()->WatchState(&context_, &request_, this);
    // StartRead() is called from the loop as well, when nothing else keeps the stream.
    AddHold();
    StartRead(&message);
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }

  // gRPC's threads.
  void OnReadDone(bool ok) override {
    if (ok) {
      owner_.loop_.Post([this] { owner_.OnMessage(this); });
    } else {
      RemoveHold();
    }
  }
  void OnDone(const grpc::Status& status) override {
    owner_.loop_.Post([this, why = StatusOf(status)] { owner_.OnEnd(this, why); });
  }

  // Of the loop.
  v1::NodeState message;
  std::function<void(const v1::NodeState&)> changed;
  std::function<void(const absl::Status&)> ended;  // null: abandoned
  std::optional<os::EventLoop::TimerId> timeout;   // for the first message

 private:
  AdminSocket& owner_;
  const std::unique_ptr<v1::Admin::Stub> stub_;
  grpc::ClientContext context_;
  const v1::WatchStateRequest request_;
};

AdminSocket::AdminSocket(os::EventLoop& loop, std::string path)
    : loop_(loop), path_(std::move(path)) {}

AdminSocket::~AdminSocket() = default;

void AdminSocket::GetState(Duration deadline, Answered<v1::NodeState> done) {
  AskFor(kGetState, v1::GetStateRequest(), deadline, std::move(done));
}

void AdminSocket::GetMetrics(Duration deadline, Answered<v1::GetMetricsResponse> done) {
  AskFor(kGetMetrics, v1::GetMetricsRequest(), deadline, std::move(done));
}

void AdminSocket::Release(const v1::ReleaseRequest& request, Duration deadline,
                          Answered<v1::ReleaseResponse> done) {
  AskFor(kRelease, request, deadline, std::move(done));
}

template <typename Message>
void AdminSocket::AskFor(const char* method, const google::protobuf::MessageLite& request,
                         Duration deadline, Answered<Message> done) {
  const grpc::Slice slice(request.SerializeAsString());
  Ask(method, grpc::ByteBuffer(&slice, 1), deadline,
      [this, done = std::move(done)](const Bytes& bytes) {
        if (!bytes.ok()) return done(bytes.status());
        auto message = Parse<Message>(*bytes);
        done(message.ok() ? std::move(message) : Explain(message.status()));
      });
}

void AdminSocket::Ask(const char* method, const grpc::ByteBuffer& request, Duration deadline,
                      std::function<void(Bytes)> done) {
  if (stopping_) {
    done(StoppedError());
    return;
  }
  auto connection = os::ConnectUnix(path_);
  if (!connection.ok()) {
    done(connection.status());
    return;
  }
  Call* call = calls_.emplace_back(std::make_unique<Call>()).get();
  call->done = std::move(done);
  call->stub = std::make_unique<grpc::GenericStub>(ChannelOver(*std::move(connection)));
  call->request = request;
  // Not the deadline of the call: gRPC's timers may stand still (server/quiet_grpc.h).
  call->timeout = loop_.CallAfter(deadline, [this, call, deadline] {
    call->timeout.reset();
    call->context.TryCancel();
    std::exchange(call->done, nullptr)(LateError(deadline));
  });
  call->stub->UnaryCall(
      &call->context, method, {}, &call->request, &call->response,
      [this, call](const grpc::Status& answer) {
        loop_.Post([this, call, status = StatusOf(answer)] { OnAnswer(call, status); });
      });
}

void AdminSocket::OnAnswer(Call* call, const absl::Status& status) {
  const std::unique_ptr<Call> owned = Take(calls_, call);
  if (owned->timeout) loop_.Cancel(*owned->timeout);
  if (owned->done) {
    if (status.ok() && !owned->response.Valid()) {
      owned->done(Explain(absl::DataLossError("it says nothing")));
    } else if (status.ok()) {
      owned->done(std::move(owned->response));
    } else {
      owned->done(Explain(status));
    }
  }
  StopIfIdle();
}

void AdminSocket::WatchState(Duration deadline, std::function<void(const v1::NodeState&)> changed,
                             std::function<void(const absl::Status&)> ended) {
  if (stopping_) {
    ended(StoppedError());
    return;
  }
  auto connection = os::ConnectUnix(path_);
  if (!connection.ok()) {
    ended(connection.status());
    return;
  }
  Stream* stream =
      streams_.emplace_back(std::make_unique<Stream>(*this, ChannelOver(*std::move(connection))))
          .get();
  stream->changed = std::move(changed);
  stream->ended = std::move(ended);
  stream->timeout = loop_.CallAfter(deadline, [this, stream, deadline] {
    stream->timeout.reset();
    stream->Cancel();
    std::exchange(stream->ended, nullptr)(LateError(deadline));
  });
  stream->Begin();
}

void AdminSocket::OnMessage(Stream* stream) {
  if (stream->timeout) loop_.Cancel(*std::exchange(stream->timeout, std::nullopt));
  if (stream->ended) stream->changed(stream->message);
  stream->StartRead(&stream->message);
}

void AdminSocket::OnEnd(Stream* stream, const absl::Status& status) {
  const std::unique_ptr<Stream> owned = Take(streams_, stream);
  if (owned->timeout) loop_.Cancel(*owned->timeout);
  if (owned->ended) {
    owned->ended(Explain(status.ok() ? absl::UnavailableError("it has ended the stream") : status));
  }
  StopIfIdle();
}

void AdminSocket::Stop(std::function<void()> stopped) {
  stopping_ = true;
  stopped_ = std::move(stopped);
  for (const auto& call : calls_) {
    if (call->timeout) loop_.Cancel(*std::exchange(call->timeout, std::nullopt));
    call->context.TryCancel();
    if (call->done) std::exchange(call->done, nullptr)(StoppedError());
  }
  for (const auto& stream : streams_) {
    if (stream->timeout) loop_.Cancel(*std::exchange(stream->timeout, std::nullopt));
    stream->Cancel();
    if (stream->ended) std::exchange(stream->ended, nullptr)(StoppedError());
  }
  // In a later turn, because this may be called by somebody who is being answered.
  loop_.Post([this] { StopIfIdle(); });
}

void AdminSocket::StopIfIdle() {
  if (calls_.empty() && streams_.empty() && stopped_) std::exchange(stopped_, nullptr)();
}

absl::Status AdminSocket::Explain(const absl::Status& status) const {
  return {status.code(),
          fmt::format("the daemon at {}: {}", path_,
                      status.message().empty() ? absl::StatusCodeToString(status.code())
                                               : std::string(status.message()))};
}

absl::Status AdminSocket::LateError(Duration deadline) const {
  return absl::DeadlineExceededError(fmt::format("the daemon at {} has not answered within {:g} s",
                                                 path_,
                                                 std::chrono::duration<double>(deadline).count()));
}

absl::Status AdminSocket::StoppedError() const {
  return absl::UnavailableError(
      fmt::format("the daemon at {} is not asked any more: this program ends", path_));
}

}  // namespace dp::admin_client
