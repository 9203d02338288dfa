// SPDX-License-Identifier: Apache-2.0
#include "plugin/server/plugin_registration_service.h"

#include <utility>

namespace dp::server {
namespace {

// k8s.io/kubelet, pkg/apis/pluginregistration/v1/constants.go, DevicePlugin.
constexpr char kType[] = "DevicePlugin";
// k8s.io/kubelet, pkg/apis/deviceplugin/v1beta1/constants.go, Version.
constexpr char kDevicePluginVersion[] = "v1beta1";

}  // namespace

PluginRegistrationService::PluginRegistrationService(
    os::EventLoop& loop, std::string resource,
    std::function<void(const absl::Status& status)> announced)
    : loop_(loop), resource_(std::move(resource)), announced_(std::move(announced)) {}

// Answered at once: the kubelet waits for a second.
grpc::ServerUnaryReactor* PluginRegistrationService::GetInfo(
    grpc::CallbackServerContext* context, const pluginregistration::InfoRequest* /*request*/,
    pluginregistration::PluginInfo* response) {
  response->set_type(kType);
  response->set_name(resource_);
  response->add_supported_versions(kDevicePluginVersion);
  // No endpoint: it is the socket that was asked, under the path that the kubelet knows, which need
  // not be ours.
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* PluginRegistrationService::NotifyRegistrationStatus(
    grpc::CallbackServerContext* context, const pluginregistration::RegistrationStatus* request,
    pluginregistration::RegistrationStatusResponse* /*response*/) {
  absl::Status status;
  if (!request->plugin_registered()) status = absl::UnknownError(request->error());
  loop_.Post([this, status = std::move(status)] { announced_(status); });
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace dp::server
