// SPDX-License-Identifier: Apache-2.0
#include "plugin/server/node_hook_server.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include <chrono>
#include <utility>

#include "api/kubevirt/hooks/plugins/v1alpha1/api.grpc.pb.h"
#include "plugin/server/messages.h"

namespace dp::server {

namespace v1alpha1 = ::kubevirt::hooks::plugins::v1alpha1;

class NodeHookServer::Service final : public v1alpha1::NodeHookService::CallbackService {
 public:
  Service(os::EventLoop& loop, Handler handler) : loop_(loop), handler_(std::move(handler)) {}

  // gRPC's threads.
  grpc::ServerUnaryReactor* ExecuteNodeHook(
      grpc::CallbackServerContext* context, const v1alpha1::ExecuteNodeHookRequest* request,
      v1alpha1::ExecuteNodeHookResponse* /*response*/) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    loop_.Do([this, reactor, request] {
      handler_(request->hookpoint(), request->vmi(),
               [reactor](const absl::Status& status) { reactor->Finish(ToGrpc(status)); });
    });
    return reactor;
  }

 private:
  os::EventLoop& loop_;
  const Handler handler_;
};

NodeHookServer::NodeHookServer(os::EventLoop& loop, Handler handler)
    : service_(std::make_unique<Service>(loop, std::move(handler))) {}

NodeHookServer::~NodeHookServer() = default;

absl::StatusOr<std::unique_ptr<NodeHookServer>> NodeHookServer::Create(os::EventLoop& loop,
                                                                       Handler handler) {
  std::unique_ptr<NodeHookServer> server(new NodeHookServer(loop, std::move(handler)));
  grpc::ServerBuilder builder;
  builder.RegisterService(server->service_.get());
  server->server_ = builder.BuildAndStart();
  if (!server->server_) return absl::InternalError("gRPC did not start a server");
  return server;
}

void NodeHookServer::Serve(base::UniqueFd connection) {
  grpc::AddInsecureChannelFromFd(server_.get(), connection.Release());
}

void NodeHookServer::Shutdown() { server_->Shutdown(std::chrono::system_clock::now()); }

}  // namespace dp::server
