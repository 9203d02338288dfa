// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/device_broker.h"
#include "plugin/os/event_loop.h"
#include "plugin/os/unix_listener.h"
#include "plugin/server/node_hook_server.h"

namespace dp::app {

// What virt-handler asks before it starts a virtual machine, and says after one has stopped. Loop
// thread.
class NodeHook {
 public:
  // Listens at `path` (KubeVirt: /var/run/kubevirt/plugins/NAME.sock). Errors as
  // os::UnixListener::Create(). `loop` and `broker` outlive it.
  static absl::StatusOr<std::unique_ptr<NodeHook>> Create(os::EventLoop& loop,
                                                          core::DeviceBroker& broker,
                                                          const std::string& path);
  NodeHook(const NodeHook&) = delete;
  NodeHook& operator=(const NodeHook&) = delete;
  ~NodeHook() = default;

  // Removes the socket, ends all calls, and calls `stopped` in a later turn of the loop.
  void Stop(std::function<void()> stopped);

 private:
  NodeHook(os::EventLoop& loop, core::DeviceBroker& broker) : loop_(loop), broker_(broker) {}
  void OnCall(const std::string& hook_point, const std::string& vmi,
              const server::NodeHookServer::Done& done);
  void CheckStart(const std::string& text, const server::NodeHookServer::Done& done);
  void Say(std::string_view what, const std::string& vm, std::string_view sentence);

  os::EventLoop& loop_;
  core::DeviceBroker& broker_;
  std::unique_ptr<server::NodeHookServer> server_;
  std::unique_ptr<os::UnixListener> listener_;
  std::string last_said_;
  std::jthread shutdown_;
};

}  // namespace dp::app
