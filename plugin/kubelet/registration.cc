// SPDX-License-Identifier: Apache-2.0
#include "plugin/kubelet/registration.h"

#include <fmt/format.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel_posix.h>

#include <algorithm>
#include <utility>

#include "api/kubelet/v1beta1/api.grpc.pb.h"
#include "plugin/base/log.h"
#include "plugin/os/unix_connect.h"

// Each attempt has a connection of its own, made here and handed to gRPC. A channel with an address
// would keep its own back-off, of a second and more, and would still be waiting when the kubelet is
// back; and it would say "failed to connect to all addresses" where connect(2) says what is wrong.

namespace dp::kubelet {
namespace {

// k8s.io/kubelet, pkg/apis/deviceplugin/v1beta1/constants.go, Version.
constexpr char kApiVersion[] = "v1beta1";
// The first pauses bridge the moment between bind(2) and listen(2) of a kubelet that starts.
constexpr std::chrono::microseconds kFirstPause{200};
constexpr std::chrono::microseconds kLongestPause = std::chrono::seconds(5);

}  // namespace

struct Registration::Attempt {
  grpc::ClientContext context;
  v1beta1::RegisterRequest request;
  v1beta1::Empty response;
  std::unique_ptr<v1beta1::Registration::Stub> stub;
};

Registration::Registration(os::EventLoop& loop, Request request, std::function<void()> registered)
    : loop_(loop), request_(std::move(request)), registered_(std::move(registered)) {}

Registration::~Registration() {
  Abandon();
  CancelOverdue();
}

void Registration::Start() {
  Abandon();
  pause_ = kFirstPause;
  last_failure_.clear();
  Try();
}

void Registration::WaitForKubelet() {
  last_failure_ = fmt::format("there is no socket {} of a kubelet", request_.kubelet_socket);
  if (std::exchange(waiting_, true)) return;
  log::Info("waiting for the kubelet",
            {{"resource", request_.resource}, {"socket", request_.kubelet_socket}});
  overdue_ = loop_.CallAfter(request_.socket_patience, [this] {
    overdue_.reset();
    log::Warning("not registered", {{"resource", request_.resource},
                                    {"reason", base::Reason::kNotRegistered},
                                    {"error", last_failure_}});
  });
}

void Registration::CancelOverdue() {
  if (overdue_) loop_.Cancel(*std::exchange(overdue_, std::nullopt));
}

void Registration::Stop(std::function<void()> stopped) {
  Abandon();
  CancelOverdue();
  if (attempts_.empty()) {
    stopped();
  } else {
    stopped_ = std::move(stopped);
  }
}

void Registration::Abandon() {
  if (retry_) loop_.Cancel(*std::exchange(retry_, std::nullopt));
  if (timeout_) loop_.Cancel(*std::exchange(timeout_, std::nullopt));
  if (current_ != nullptr) std::exchange(current_, nullptr)->context.TryCancel();
}

void Registration::Try() {
  retry_.reset();
  auto connection = os::ConnectUnix(request_.kubelet_socket);
  if (absl::IsNotFound(connection.status())) {
    WaitForKubelet();
    return;
  }
  CancelOverdue();
  if (!connection.ok()) {
    OnFailure(connection.status());
    return;
  }
  auto endpoint = request_.endpoint();
  if (!endpoint.ok()) {
    OnFailure(endpoint.status());
    return;
  }
  Attempt* attempt = attempts_.emplace_back(std::make_unique<Attempt>()).get();
  attempt->stub = v1beta1::Registration::NewStub(
      grpc::CreateInsecureChannelFromFd("kubelet", connection->Release()));
  attempt->request.set_version(kApiVersion);
  attempt->request.set_endpoint(*std::move(endpoint));
  attempt->request.set_resource_name(request_.resource);
  // Ignored by the kubelet, which asks GetDevicePluginOptions; but meant to be the same.
  attempt->request.mutable_options()->set_pre_start_required(true);
  attempt->request.mutable_options()->set_get_preferred_allocation_available(true);
  current_ = attempt;
  // Not the deadline of the call: gRPC's timers stand still (server/quiet_grpc.h).
  timeout_ = loop_.CallAfter(kAnswerDeadline, [this] {
    timeout_.reset();
    Abandon();
    OnFailure(absl::DeadlineExceededError("the kubelet does not answer"));
  });
  attempt->stub->async()->Register(
      &attempt->context, &attempt->request, &attempt->response,
      [this, attempt](const grpc::Status& answer) {
        absl::Status status(static_cast<absl::StatusCode>(answer.error_code()),
                            answer.error_message());
        loop_.Post([this, attempt, status = std::move(status)] { OnAnswer(attempt, status); });
      });
}

void Registration::OnAnswer(Attempt* attempt, const absl::Status& status) {
  const std::string endpoint = attempt->request.endpoint();
  std::erase_if(attempts_, [attempt](const auto& owned) { return owned.get() == attempt; });
  if (attempt == current_) {
    current_ = nullptr;
    loop_.Cancel(*std::exchange(timeout_, std::nullopt));
    if (status.ok()) {
      waiting_ = false;
      last_failure_.clear();
      log::Info("registered", {{"resource", request_.resource}, {"endpoint", endpoint}});
      registered_();
    } else {
      OnFailure(status);
    }
  }
  if (attempts_.empty() && stopped_) std::exchange(stopped_, nullptr)();
}

void Registration::OnFailure(const absl::Status& status) {
  if (const std::string failure(status.message()); failure != last_failure_) {
    const std::string code = absl::StatusCodeToString(status.code());
    log::Warning("not registered", {{"resource", request_.resource},
                                    {"reason", base::Reason::kNotRegistered},
                                    {"code", code},
                                    {"error", status}});
    last_failure_ = failure;
  }
  retry_ = loop_.CallAfter(pause_, [this] { Try(); });
  pause_ = std::min(pause_ * 2, kLongestPause);
}

}  // namespace dp::kubelet
