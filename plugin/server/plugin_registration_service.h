// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "api/kubelet/pluginregistration/v1/api.grpc.pb.h"
#include "plugin/os/event_loop.h"

namespace dp::server {

// What the kubelet's plugin watcher asks whom it finds behind a socket: which plugin this is. It
// then connects to the same socket as to a device plugin, and says how that went.
class PluginRegistrationService final : public pluginregistration::Registration::CallbackService {
 public:
  // `announced` is called in a turn of the loop. Not Ok: the kubelet's own words. `loop` outlives
  // the service.
  PluginRegistrationService(os::EventLoop& loop, std::string resource,
                            std::function<void(const absl::Status& status)> announced);

  // gRPC's threads.
  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context,
                                    const pluginregistration::InfoRequest* request,
                                    pluginregistration::PluginInfo* response) override;
  grpc::ServerUnaryReactor* NotifyRegistrationStatus(
      grpc::CallbackServerContext* context, const pluginregistration::RegistrationStatus* request,
      pluginregistration::RegistrationStatusResponse* response) override;

 private:
  os::EventLoop& loop_;
  const std::string resource_;
  const std::function<void(const absl::Status& status)> announced_;
};

}  // namespace dp::server
