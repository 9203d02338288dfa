// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"
#include "plugin/core/ports.h"
#include "plugin/core/statistics.h"
#include "plugin/core/status_board.h"
#include "plugin/os/event_loop.h"
#include "plugin/server/daemon_facts.h"

namespace grpc {
class Server;
}
namespace vfio_doorbell::admin::v1 {
class NodeState;
}

namespace dp::server {

template <typename Message>
class LatestStream;

// The daemon's admin API (api/admin/v1/api.proto). Does not listen: connections are handed to it,
// as to the DevicePluginServer.
//
// Loop thread, unless said otherwise.
class AdminServer {
 public:
  using Released = std::function<void(absl::StatusOr<std::vector<std::string>> devices)>;
  // Where the answers come from; called in turns of the loop.
  struct Source {
    std::function<const core::StatusBoard&()> board;  // as it is now
    std::function<DaemonFacts()> facts;
    const core::Statistics& statistics;
    core::Timers& timers;
    // Calls `done` once, possibly before it returns.
    std::function<void(std::uint64_t base, const Released& done)> release;
  };

  // `loop` and what `source` refers to outlive the server. Internal: gRPC does not start.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Create(os::EventLoop& loop, Source source);
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;
  // After Shutdown().
  ~AdminServer();

  // Serves a connected stream socket, nonblocking.
  void Serve(base::UniqueFd connection);
  // The state has changed: tells every stream.
  void SendState();
  // From a thread that is not the loop's, while the loop runs: ends all calls and connections and
  // returns when the last call has ended.
  void Shutdown();

 private:
  class Service;
  using StateStream = LatestStream<::vfio_doorbell::admin::v1::NodeState>;

  AdminServer(os::EventLoop& loop, Source source);

  std::vector<StateStream*> streams_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace dp::server
