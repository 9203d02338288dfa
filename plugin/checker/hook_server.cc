// SPDX-License-Identifier: Apache-2.0
#include "plugin/checker/hook_server.h"

#include <fmt/format.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include <array>
#include <string>
#include <utility>

#include "api/kubevirt/hooks/info/api.grpc.pb.h"
#include "api/kubevirt/hooks/plugins/v1alpha1/api.grpc.pb.h"
#include "api/kubevirt/hooks/v1alpha1/api.grpc.pb.h"
#include "api/kubevirt/hooks/v1alpha2/api.grpc.pb.h"
#include "api/kubevirt/hooks/v1alpha3/api.grpc.pb.h"
#include "plugin/base/excerpt.h"

namespace dp::checker {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
namespace hooks = kubevirt::hooks;

// More than a domain may have, so that one that is too long is told so by us.
constexpr int kMostBytesOfACall = 32 << 20;
constexpr const char* kHookPoint = "OnDefineDomain";
constexpr std::array kVersions{"v1alpha1", "v1alpha2", "v1alpha3"};

// The codes of both have the same numbers (absl/status/status.h).
grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.raw_code()), std::string(status.message())};
}

// A check takes less than a thread of gRPC may be held up: it waits for no disk, no network and
// nobody else.
ServerUnaryReactor* Finish(CallbackServerContext* context, const absl::Status& status) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

class InfoService final : public hooks::info::Info::CallbackService {
 public:
  ServerUnaryReactor* Info(CallbackServerContext* context,
                           const hooks::info::InfoParams* /*request*/,
                           hooks::info::InfoResult* response) override {
    response->set_name("vfio-doorbell");
    response->add_hookpoints()->set_name(kHookPoint);
    for (const char* version : kVersions) response->add_versions(version);
    return Finish(context, absl::OkStatus());
  }
};

// The same for each version, whose messages have the same fields.
template <typename Service, typename Params, typename Result>
class LegacyService final : public Service {
 public:
  explicit LegacyService(const HookServer::Judge& judge) : judge_(judge) {}

  ServerUnaryReactor* OnDefineDomain(CallbackServerContext* context, const Params* request,
                                     Result* response) override {
    const absl::Status status = judge_(request->domainxml());
    if (status.ok()) response->set_domainxml(request->domainxml());
    return Finish(context, status);
  }

 private:
  const HookServer::Judge& judge_;
};

class PluginService final : public hooks::plugins::v1alpha1::DomainHookService::CallbackService {
 public:
  explicit PluginService(const HookServer::Judge& judge) : judge_(judge) {}

  ServerUnaryReactor* MutateDomain(
      CallbackServerContext* context, const hooks::plugins::v1alpha1::MutateDomainRequest* request,
      hooks::plugins::v1alpha1::MutateDomainResponse* response) override {
    if (request->domain_type() != "libvirt") {
      return Finish(context, absl::InvalidArgumentError(
                                 fmt::format("the domain is of type \"{}\", and not \"libvirt\"",
                                             base::Excerpt(request->domain_type()))));
    }
    const absl::Status status = judge_(request->domain());
    if (status.ok()) response->set_domain(request->domain());
    return Finish(context, status);
  }

 private:
  const HookServer::Judge& judge_;
};

}  // namespace

class HookServer::Services {
 public:
  explicit Services(Judge judge) : judge_(std::move(judge)) {}

  void Register(grpc::ServerBuilder& builder) {
    builder.RegisterService(&info_);
    builder.RegisterService(&v1alpha1_);
    builder.RegisterService(&v1alpha2_);
    builder.RegisterService(&v1alpha3_);
    builder.RegisterService(&plugin_);
  }

 private:
  const Judge judge_;
  InfoService info_;
  LegacyService<hooks::v1alpha1::Callbacks::CallbackService, hooks::v1alpha1::OnDefineDomainParams,
                hooks::v1alpha1::OnDefineDomainResult>
      v1alpha1_{judge_};
  LegacyService<hooks::v1alpha2::Callbacks::CallbackService, hooks::v1alpha2::OnDefineDomainParams,
                hooks::v1alpha2::OnDefineDomainResult>
      v1alpha2_{judge_};
  LegacyService<hooks::v1alpha3::Callbacks::CallbackService, hooks::v1alpha3::OnDefineDomainParams,
                hooks::v1alpha3::OnDefineDomainResult>
      v1alpha3_{judge_};
  PluginService plugin_{judge_};
};

HookServer::HookServer(Judge judge) : services_(std::make_unique<Services>(std::move(judge))) {}

HookServer::~HookServer() = default;

absl::StatusOr<std::unique_ptr<HookServer>> HookServer::Create(Judge judge) {
  std::unique_ptr<HookServer> server(new HookServer(std::move(judge)));
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMostBytesOfACall);
  server->services_->Register(builder);
  server->server_ = builder.BuildAndStart();
  if (!server->server_) return absl::InternalError("gRPC did not start a server");
  return server;
}

void HookServer::Serve(base::UniqueFd connection) {
  grpc::AddInsecureChannelFromFd(server_.get(), connection.Release());
}

void HookServer::Shutdown(std::chrono::milliseconds patience) {
  server_->Shutdown(std::chrono::system_clock::now() + patience);
}

}  // namespace dp::checker
