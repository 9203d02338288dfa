// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "plugin/app/options.h"
#include "plugin/core/device_broker.h"
#include "plugin/core/ports.h"
#include "plugin/core/statistics.h"
#include "plugin/kubelet/endpoint.h"
#include "plugin/kubelet/folder_watch.h"
#include "plugin/os/event_loop.h"
#include "plugin/server/daemon_facts.h"
#include "plugin/server/device_plugin_server.h"

namespace dp::app {

// What the kubelet sees: a device plugin for each resource, which is a server and the socket where
// it is found. Loop thread.
class Plugins {
 public:
  // All outlive the object.
  struct Parts {
    os::EventLoop& loop;
    core::Timers& timers;
    core::DeviceBroker& broker;
    core::Statistics& statistics;
  };
  struct Events {
    std::function<void()> registered;  // a resource, with a kubelet that may be a new one
    std::function<void()> watched;     // a resource, or no more
  };

  Plugins(Parts parts, Events events);
  Plugins(const Plugins&) = delete;
  Plugins& operator=(const Plugins&) = delete;
  // After Drain(), when the loop does not run any more.
  ~Plugins() = default;

  // Watches the folder of the sockets, which `options` names. Once, before the first Add().
  void Open(const Options& options);
  // Serves a resource of the broker's and listens for the kubelet. Errors as those of
  // DevicePluginServer::Create() and Endpoint::Create().
  absl::Status Add(std::size_t resource);
  // Registers it.
  void Start(std::size_t resource);
  // Its offers have changed.
  void SendList(std::size_t resource);
  // Removes its socket, ends its streams, then all of its calls and connections.
  void Retire(std::size_t resource);
  // Retires all. Calls `stopped` when nothing of them runs any more, possibly at once.
  void Drain(std::function<void()> stopped);

  [[nodiscard]] std::vector<server::ResourceFacts> Facts() const;

 private:
  struct Plugin {
    std::unique_ptr<server::DevicePluginServer> server;  // null: the resource is not served
    std::unique_ptr<kubelet::Endpoint> endpoint;
    std::int64_t watched_since_ms = 0;
    std::int64_t list_sent_ms = 0;
  };
  // One that is served no more, until nothing of it runs.
  struct Retired {
    Plugin plugin;
    bool stopped = false;  // its endpoint
    bool ended = false;    // its streams, or their time is over
    std::optional<os::EventLoop::TimerId> deadline;
    std::jthread shutdown;
  };

  void ChooseWay(const Options& options);
  void WatchFolderIfNeeded();
  void OnFolderChange(bool kubelet_started);
  void OnRegistered(std::size_t resource);
  void OnWatched(std::size_t resource, bool watched);
  void OnAnswered(std::size_t resource, server::DevicePluginServer::Method method,
                  const absl::Status& status, server::DevicePluginServer::Duration duration);
  void RetireFurther(Retired& retired);

  const Parts parts_;
  const Events events_;
  kubelet::Endpoint::Way way_ = kubelet::Endpoint::Way::kKubeletSocket;
  std::string folder_;           // where the endpoints are
  std::vector<Plugin> plugins_;  // by the place of the resource
  std::list<Retired> retired_;
  std::unique_ptr<kubelet::FolderWatch> folder_watch_;
  std::function<void()> drained_;  // not empty: all are retired
};

}  // namespace dp::app
