// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"
#include "plugin/core/device_broker.h"
#include "plugin/os/event_loop.h"

namespace grpc {
class Server;
}
namespace v1beta1 {
class ListAndWatchResponse;
}

namespace dp::server {

template <typename Message>
class LatestStream;
class PluginRegistrationService;

// The kubelet's DevicePlugin service for one resource, and the Registration service by which the
// kubelet's plugin watcher asks what is to be registered. It does not listen: connections are
// handed to it, so that a new listening socket needs no new server.
//
// Loop thread, unless said otherwise. Calls arrive on gRPC's threads, which give them to the loop.
class DevicePluginServer {
 public:
  enum class Method { kAllocate, kPreStartContainer };
  using Duration = std::chrono::steady_clock::duration;
  // What others may want to know; called in turns of the loop.
  struct Events {
    std::function<void()> list_sent;
    // An Allocate or PreStartContainer call has been answered like that, after so long.
    std::function<void(Method method, const absl::Status& status, Duration duration)> answered;
    // From no open ListAndWatch stream to one, or back. A kubelet that goes away ends its stream.
    std::function<void(bool open)> watched;
    // The kubelet's plugin watcher has registered the resource, or says why it has not.
    std::function<void(const absl::Status& status)> announced;
  };

  // `loop` and `broker` outlive the server. Internal: gRPC does not start.
  static absl::StatusOr<std::unique_ptr<DevicePluginServer>> Create(os::EventLoop& loop,
                                                                    core::DeviceBroker& broker,
                                                                    std::size_t resource,
                                                                    Events events);
  DevicePluginServer(const DevicePluginServer&) = delete;
  DevicePluginServer& operator=(const DevicePluginServer&) = delete;
  // After Shutdown().
  ~DevicePluginServer();

  // Serves a connected stream socket, nonblocking.
  void Serve(base::UniqueFd connection);
  // The offers of the resource have changed: tells every stream.
  void SendList();

  // Ends the streams. What else is being called goes on. Calls `ended` when the last one has been
  // told, possibly at once; and again for each that is opened later.
  void EndStreams(std::function<void()> ended);
  // From a thread that is not the loop's, while the loop runs: ends all calls and connections and
  // returns when the last call has ended.
  void Shutdown();

 private:
  class Service;
  using ListStream = LatestStream<v1beta1::ListAndWatchResponse>;

  DevicePluginServer(os::EventLoop& loop, core::DeviceBroker& broker, std::size_t resource,
                     Events events);
  void Open(ListStream& stream);
  void Close(ListStream& stream);

  const Events events_;
  std::vector<ListStream*> streams_;
  std::function<void()> streams_ended_;  // not empty: they are to end
  std::unique_ptr<Service> service_;
  std::unique_ptr<PluginRegistrationService> registration_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace dp::server
