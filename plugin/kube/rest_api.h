// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "plugin/kube/api.h"

namespace dp::kube {

// Where the API server is, and what this side shows and checks.
struct Server {
  std::string url;         // "https://10.96.0.1:443", "http://127.0.0.1:8080"
  std::string token_file;  // read anew for each call, because the kubelet replaces it; empty: none
  std::string ca_file;     // PEM, read anew when it has changed; empty: the system's authorities
  std::string user_agent = "vfio-doorbell";
  // Without a byte from the server.
  std::chrono::seconds timeout{10};
};

// The API server over HTTP, with cpprestsdk. One call at a time, from any thread; each waits.
class RestApi final : public Api {
 public:
  explicit RestApi(Server server);
  RestApi(const RestApi&) = delete;
  RestApi& operator=(const RestApi&) = delete;
  ~RestApi() override;

  absl::StatusOr<nlohmann::json> Get(const std::string& path) override;
  absl::StatusOr<nlohmann::json> Patch(const std::string& path,
                                       const nlohmann::json& operations) override;
  absl::StatusOr<nlohmann::json> StrategicPatch(const std::string& path,
                                                const nlohmann::json& change) override;
  absl::StatusOr<nlohmann::json> Create(const std::string& path,
                                        const nlohmann::json& object) override;
  absl::StatusOr<nlohmann::json> Replace(const std::string& path,
                                         const nlohmann::json& object) override;

  // From any thread: the call under way ends with Cancelled, and so do those to come, until
  // Reopen().
  void Cancel();
  // Not while a call is under way.
  void Reopen();

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace dp::kube
