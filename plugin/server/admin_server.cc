// SPDX-License-Identifier: Apache-2.0
#include "plugin/server/admin_server.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include <chrono>
#include <utility>

#include "api/admin/v1/api.grpc.pb.h"
#include "plugin/server/admin_messages.h"
#include "plugin/server/latest_stream.h"
#include "plugin/server/messages.h"

// As in device_plugin_server.cc: no method blocks, and all state belongs to the loop.

namespace dp::server {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

namespace v1 = ::vfio_doorbell::admin::v1;

// No request has more than a number in it.
constexpr int kLongestRequest = 4096;

}  // namespace

class AdminServer::Service final : public v1::Admin::CallbackService {
 public:
  Service(os::EventLoop& loop, Source source, StateStream::Source streams)
      : loop_(loop), source_(std::move(source)), streams_(std::move(streams)) {}

  // gRPC's threads.
  ServerUnaryReactor* GetState(CallbackServerContext* context,
                               const v1::GetStateRequest* /*request*/,
                               v1::NodeState* response) override {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    loop_.Do([this, reactor, response] {
      FillState(source_.board(), source_.facts(), *response);
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }

  grpc::ServerWriteReactor<v1::NodeState>* WatchState(
      CallbackServerContext* /*context*/, const v1::WatchStateRequest* /*request*/) override {
    return new StateStream(loop_, streams_);  // deletes itself
  }

  ServerUnaryReactor* GetMetrics(CallbackServerContext* context,
                                 const v1::GetMetricsRequest* /*request*/,
                                 v1::GetMetricsResponse* response) override {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    loop_.Do([this, reactor, response] {
      FillMetrics(source_.board().status(), source_.facts(), source_.statistics,
                  source_.timers.WallMs(), *response);
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }

  ServerUnaryReactor* Release(CallbackServerContext* context, const v1::ReleaseRequest* request,
                              v1::ReleaseResponse* response) override {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    if (request->base() == 0) {
      reactor->Finish({grpc::StatusCode::INVALID_ARGUMENT, "Release needs the base of a window"});
      return reactor;
    }
    loop_.Do([this, reactor, response, base = request->base()] {
      source_.release(base,
                      [reactor, response](const absl::StatusOr<std::vector<std::string>>& devices) {
                        if (devices.ok())
                          response->mutable_devices()->Assign(devices->begin(), devices->end());
                        reactor->Finish(ToGrpc(devices.status()));
                      });
    });
    return reactor;
  }

 private:
  os::EventLoop& loop_;
  const Source source_;
  const StateStream::Source streams_;
};

AdminServer::AdminServer(os::EventLoop& loop, Source source) {
  auto fill = [board = source.board, facts = source.facts](v1::NodeState& state) {
    FillState(board(), facts(), state);
  };
  service_ = std::make_unique<Service>(
      loop, std::move(source),
      StateStream::Source{
          .opened =
              [this](StateStream& stream) {
                streams_.push_back(&stream);
                stream.Send();
              },
          .fill = std::move(fill),
          .sent = [] {},
          .closed = [this](StateStream& stream) { std::erase(streams_, &stream); },
      });
}

AdminServer::~AdminServer() = default;

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Create(os::EventLoop& loop,
                                                                 Source source) {
  std::unique_ptr<AdminServer> server(new AdminServer(loop, std::move(source)));
  grpc::ServerBuilder builder;
  builder.RegisterService(server->service_.get());
  builder.SetMaxReceiveMessageSize(kLongestRequest);
  server->server_ = builder.BuildAndStart();
  if (!server->server_) return absl::InternalError("gRPC did not start a server");
  return server;
}

void AdminServer::Serve(base::UniqueFd connection) {
  grpc::AddInsecureChannelFromFd(server_.get(), connection.Release());
}

void AdminServer::SendState() {
  for (StateStream* stream : streams_) stream->Send();
}

void AdminServer::Shutdown() { server_->Shutdown(std::chrono::system_clock::now()); }

}  // namespace dp::server
