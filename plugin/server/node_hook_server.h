// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"
#include "plugin/os/event_loop.h"

namespace grpc {
class Server;
}

namespace dp::server {

// KubeVirt's NodeHookService (api/kubevirt/hooks/plugins/v1alpha1/api.proto). Does not listen:
// connections are handed to it, as to the DevicePluginServer.
//
// Loop thread, unless said otherwise.
class NodeHookServer {
 public:
  using Done = std::function<void(const absl::Status&)>;
  // Gets each call in a turn of the loop: "PreVMStart" and so on, and the VirtualMachineInstance as
  // JSON, 4 MiB at most. Calls `done` once, possibly before it returns.
  using Handler =
      std::function<void(const std::string& hook_point, const std::string& vmi, const Done& done)>;

  // `loop` outlives the server. Internal: gRPC does not start.
  static absl::StatusOr<std::unique_ptr<NodeHookServer>> Create(os::EventLoop& loop,
                                                                Handler handler);
  NodeHookServer(const NodeHookServer&) = delete;
  NodeHookServer& operator=(const NodeHookServer&) = delete;
  // After Shutdown().
  ~NodeHookServer();

  // Serves a connected stream socket, nonblocking.
  void Serve(base::UniqueFd connection);
  // From a thread that is not the loop's, while the loop runs: ends all calls and connections and
  // returns when the last call has ended.
  void Shutdown();

 private:
  class Service;

  NodeHookServer(os::EventLoop& loop, Handler handler);

  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace dp::server
