// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace dp::cli {

// Where a program finds the API server, and what it shows there.
struct ApiServer {
  std::string url;
  std::string token_file;  // path; empty: no token
  std::string ca_file;     // path of PEM; empty: what the system trusts
};

// --api-server, --token-file and --ca-file.
void AddApiServer(CLI::App& app, ApiServer& server);

// Without a URL: takes all of it from what the kubelet gives each pod
// (kubernetes plugin/pkg/admission/serviceaccount). `environment` returns the value of a variable,
// empty if there is none. Returns what is wrong, in one sentence; empty: nothing.
std::string FindApiServer(ApiServer& server,
                          const std::function<std::string(const char*)>& environment);

}  // namespace dp::cli
