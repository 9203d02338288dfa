// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"

namespace grpc {
class Server;
}

namespace dp::checker {

// What KubeVirt calls of a hook, legacy (api/kubevirt/hooks/v1alpha1 to 3) or of a Plugin
// (api/kubevirt/hooks/plugins): the answer is the domain that was sent, byte for byte, or an error.
// Has no port: it gets connected descriptors.
class HookServer {
 public:
  // Whether a domain is accepted, from its XML. Called on threads of gRPC, several at a time.
  using Judge = std::function<absl::Status(std::string_view xml)>;

  // Internal: gRPC does not start.
  static absl::StatusOr<std::unique_ptr<HookServer>> Create(Judge judge);
  HookServer(const HookServer&) = delete;
  HookServer& operator=(const HookServer&) = delete;
  // Shutdown() must have been called.
  ~HookServer();

  // Serves the calls of a connection until its end.
  void Serve(base::UniqueFd connection);
  // Ends all connections; calls under way get `patience` to end.
  void Shutdown(std::chrono::milliseconds patience);

 private:
  class Services;
  explicit HookServer(Judge judge);

  std::unique_ptr<Services> services_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace dp::checker
