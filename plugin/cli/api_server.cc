// SPDX-License-Identifier: Apache-2.0
#include "plugin/cli/api_server.h"

#include "plugin/cli/flags.h"

namespace dp::cli {
namespace {

constexpr char kAccount[] = "/var/run/secrets/kubernetes.io/serviceaccount/";

}  // namespace

void AddApiServer(CLI::App& app, ApiServer& server) {
  AddValue(app, "--api-server", server.url,
           "The URL of the API server. In a pod, that of the cluster is taken.");
  AddValue(app, "--token-file", server.token_file,
           "What this program shows to the API server. In a pod, that of its service account.");
  AddValue(app, "--ca-file", server.ca_file,
           "The authorities (PEM) that the API server's certificate must come from.");
}

std::string FindApiServer(ApiServer& server,
                          const std::function<std::string(const char*)>& environment) {
  if (server.url.empty()) {
    const std::string host = environment("KUBERNETES_SERVICE_HOST");
    const std::string port = environment("KUBERNETES_SERVICE_PORT");
    if (host.empty() || port.empty()) {
      return "no API server: this is no pod (KUBERNETES_SERVICE_HOST), and there is no "
             "--api-server";
    }
    const bool is_ipv6 = host.find(':') != std::string::npos;
    server.url = "https://" + (is_ipv6 ? "[" + host + "]" : host) + ":" + port;
    if (server.token_file.empty()) server.token_file = std::string(kAccount) + "token";
    if (server.ca_file.empty()) server.ca_file = std::string(kAccount) + "ca.crt";
  }
  if (server.url.starts_with("https://") || server.url.starts_with("http://")) return {};
  return "--api-server: begins with neither https:// nor http://";
}

}  // namespace dp::cli
