// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "plugin/monitor/http_address.h"

namespace dp::monitor {

struct HttpAnswer {
  int code = 200;
  std::string body;  // text
};

// The HTTP server of prometheus-cpp, civetweb, with pages of its own choice: the exposer of that
// library has metrics and nothing else, and probes at another port would be another port to guard.
// GET and HEAD, no files, no body that is read.
class HttpServer {
 public:
  // Makes a page afresh for each request; on a thread of the server, several at a time.
  using Page = std::function<HttpAnswer()>;
  using Pages = std::map<std::string, Page>;  // by path: "/metrics"

  // Whether the library was built with IPv6.
  static bool KnowsIpv6();
  // FailedPrecondition: it cannot listen there.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Create(const HttpAddress& address,
                                                            const Pages& pages);
  // Not on a thread that a page waits for: returns when the last one is made, and up to 2 s later,
  // which is how often civetweb looks whether it is to end.
  virtual ~HttpServer() = default;

  // Where it listens, with the port it was given.
  [[nodiscard]] virtual HttpAddress address() const = 0;

 protected:
  HttpServer() = default;
};

}  // namespace dp::monitor
