// SPDX-License-Identifier: Apache-2.0
#include "plugin/server/device_plugin_server.h"

#include <fmt/format.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "api/kubelet/v1beta1/api.grpc.pb.h"
#include "plugin/base/log.h"
#include "plugin/server/latest_stream.h"
#include "plugin/server/messages.h"
#include "plugin/server/plugin_registration_service.h"

// gRPC's callback API calls the methods of the service on threads of its own, and none may block.
// So a method makes a reactor, gives the rest to the loop and returns; the answer goes through the
// reactor. No thread waits for a call, and no state is shared.
//
// The server has no port. The loop owns the listening socket and hands over what it accepts,
// because the kubelet removes the socket of every plugin when it starts, and a socket is made anew
// in two system calls, a server is not.

namespace dp::server {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

constexpr char kAllocate[] = "Allocate";
constexpr char kPreStartContainer[] = "PreStartContainer";

std::vector<std::string> Strings(const google::protobuf::RepeatedPtrField<std::string>& field) {
  return {field.begin(), field.end()};
}

absl::Status CheckOneContainer(std::string_view method, int requests) {
  if (requests == 1) return absl::OkStatus();
  return base::Because(
      base::Reason::kBadRequest,
      absl::InvalidArgumentError(fmt::format(
          "{} takes one container request in a call, as the kubelet sends it, and got {}", method,
          requests)));
}

}  // namespace

class DevicePluginServer::Service final : public v1beta1::DevicePlugin::CallbackService {
 public:
  Service(os::EventLoop& loop, core::DeviceBroker& broker, std::size_t resource,
          ListStream::Source streams, const Events& events)
      : loop_(loop),
        broker_(broker),
        resource_(resource),
        streams_(std::move(streams)),
        events_(events) {}

  ServerUnaryReactor* GetDevicePluginOptions(CallbackServerContext* context,
                                             const v1beta1::Empty* /*request*/,
                                             v1beta1::DevicePluginOptions* response) override {
    response->set_pre_start_required(true);
    response->set_get_preferred_allocation_available(true);
    ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerWriteReactor<v1beta1::ListAndWatchResponse>* ListAndWatch(
      CallbackServerContext* /*context*/, const v1beta1::Empty* /*request*/) override {
    return new ListStream(loop_, streams_);  // deletes itself
  }

  ServerUnaryReactor* GetPreferredAllocation(
      CallbackServerContext* context, const v1beta1::PreferredAllocationRequest* request,
      v1beta1::PreferredAllocationResponse* response) override {
    return OnLoop(
        context, [this, request, response](auto finish) { finish(Prefer(*request, *response)); },
        "GetPreferredAllocation");
  }

  ServerUnaryReactor* Allocate(CallbackServerContext* context,
                               const v1beta1::AllocateRequest* request,
                               v1beta1::AllocateResponse* response) override {
    return OnLoop(
        context,
        [this, request, response](auto finish) {
          if (absl::Status status =
                  CheckOneContainer("Allocate", request->container_requests_size());
              !status.ok()) {
            finish(status);
            return;
          }
          broker_.Allocate(resource_, Strings(request->container_requests(0).devices_ids()),
                           [response, finish](absl::StatusOr<core::Grant> grant) {
                             if (grant.ok())
                               FillAllocation(*grant, *response->add_container_responses());
                             finish(grant.status());
                           });
        },
        kAllocate);
  }

  ServerUnaryReactor* PreStartContainer(CallbackServerContext* context,
                                        const v1beta1::PreStartContainerRequest* request,
                                        v1beta1::PreStartContainerResponse* /*response*/) override {
    return OnLoop(
        context,
        [this, request](auto finish) {
          broker_.CheckBeforeStart(resource_, Strings(request->devices_ids()), finish);
        },
        kPreStartContainer);
  }

 private:
  // Runs `call` in a turn of the loop with what finishes it. Request and response live until then.
  template <typename Call>
  ServerUnaryReactor* OnLoop(CallbackServerContext* context, Call call, const char* method) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    const auto start = std::chrono::steady_clock::now();
    loop_.Do([this, reactor, method, start, call = std::move(call)] {
      call([this, reactor, method, start](const absl::Status& status) {
        if (!status.ok()) LogRefusal(method, status);
        Tell(method, status, std::chrono::steady_clock::now() - start);
        reactor->Finish(ToGrpc(status));
      });
    });
    return reactor;
  }

  void Tell(std::string_view method, const absl::Status& status, Duration duration) const {
    if (method == kAllocate) events_.answered(Method::kAllocate, status, duration);
    if (method == kPreStartContainer)
      events_.answered(Method::kPreStartContainer, status, duration);
  }

  void LogRefusal(std::string_view method, const absl::Status& status) const {
    const std::string code = absl::StatusCodeToString(status.code());
    log::Warning("call refused",
                 {{"method", method},
                  {"resource", broker_.offers()[resource_].resource},
                  {"reason", base::ReasonOf(status).value_or(base::Reason::kBadRequest)},
                  {"code", code},
                  {"error", status}});
  }

  absl::Status Prefer(const v1beta1::PreferredAllocationRequest& request,
                      v1beta1::PreferredAllocationResponse& response) const {
    if (absl::Status status =
            CheckOneContainer("GetPreferredAllocation", request.container_requests_size());
        !status.ok()) {
      return status;
    }
    const auto& container = request.container_requests(0);
    const auto preferred =
        broker_.Prefer(resource_, Strings(container.available_deviceids()),
                       Strings(container.must_include_deviceids()), container.allocation_size());
    if (!preferred.ok()) return preferred.status();
    auto& answer = *response.add_container_responses();
    for (const std::string& id : *preferred) answer.add_deviceids(id);
    return absl::OkStatus();
  }

  os::EventLoop& loop_;
  core::DeviceBroker& broker_;
  const std::size_t resource_;
  const ListStream::Source streams_;
  const Events& events_;
};

DevicePluginServer::DevicePluginServer(os::EventLoop& loop, core::DeviceBroker& broker,
                                       std::size_t resource, Events events)
    : events_(std::move(events)) {
  service_ =
      std::make_unique<Service>(loop, broker, resource,
                                ListStream::Source{
                                    .opened = [this](ListStream& stream) { Open(stream); },
                                    .fill =
                                        [&broker, resource](v1beta1::ListAndWatchResponse& list) {
                                          FillList(broker.offers()[resource].offers, list);
                                        },
                                    .sent = [this] { events_.list_sent(); },
                                    .closed = [this](ListStream& stream) { Close(stream); },
                                },
                                events_);
  registration_ = std::make_unique<PluginRegistrationService>(
      loop, broker.offers()[resource].resource,
      [this](const absl::Status& status) { events_.announced(status); });
}

absl::StatusOr<std::unique_ptr<DevicePluginServer>> DevicePluginServer::Create(
    os::EventLoop& loop, core::DeviceBroker& broker, std::size_t resource, Events events) {
  std::unique_ptr<DevicePluginServer> server(
      new DevicePluginServer(loop, broker, resource, std::move(events)));
  grpc::ServerBuilder builder;
  builder.RegisterService(server->service_.get());
  builder.RegisterService(server->registration_.get());
  server->server_ = builder.BuildAndStart();
  if (!server->server_) return absl::InternalError("gRPC did not start a server");
  return server;
}

DevicePluginServer::~DevicePluginServer() = default;

void DevicePluginServer::Serve(base::UniqueFd connection) {
  grpc::AddInsecureChannelFromFd(server_.get(), connection.Release());
}

void DevicePluginServer::SendList() {
  for (ListStream* stream : streams_) stream->Send();
}

void DevicePluginServer::Open(ListStream& stream) {
  streams_.push_back(&stream);
  if (streams_ended_) {
    stream.End();
    return;
  }
  stream.Send();
  if (streams_.size() == 1) events_.watched(true);
}

void DevicePluginServer::Close(ListStream& stream) {
  std::erase(streams_, &stream);
  if (!streams_.empty()) return;
  if (streams_ended_) {
    streams_ended_();
  } else {
    events_.watched(false);
  }
}

void DevicePluginServer::EndStreams(std::function<void()> ended) {
  streams_ended_ = std::move(ended);
  if (streams_.empty()) {
    streams_ended_();
    return;
  }
  for (ListStream* stream : streams_) stream->End();
}

void DevicePluginServer::Shutdown() { server_->Shutdown(std::chrono::system_clock::now()); }

}  // namespace dp::server
