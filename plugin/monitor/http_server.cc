// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor/http_server.h"

#include <CivetServer.h>
#include <fmt/format.h>

#include <exception>
#include <string_view>
#include <utility>
#include <vector>

namespace dp::monitor {
namespace {

// A client that sends slowly holds a thread for as long. Prometheus and the kubelet make three at
// most.
constexpr char kThreads[] = "4";
constexpr char kRequestTimeoutMs[] = "2000";
constexpr char kLongestRequest[] = "8192";

std::string_view PhraseOf(int code) { return code == 200 ? "OK" : "Service Unavailable"; }

class Handler final : public CivetHandler {
 public:
  explicit Handler(HttpServer::Page page) : page_(std::move(page)) {}

  bool handleGet(CivetServer* /*server*/, mg_connection* connection) override {
    return Answer(connection, true);
  }
  bool handleHead(CivetServer* /*server*/, mg_connection* connection) override {
    return Answer(connection, false);
  }

 private:
  bool Answer(mg_connection* connection, bool with_body) {
    const HttpAnswer answer = page_();
    std::string text = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
        "Content-Length: {}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n",
        answer.code, PhraseOf(answer.code), answer.body.size());
    if (with_body) text += answer.body;
    mg_write(connection, text.data(), text.size());
    return true;
  }

  const HttpServer::Page page_;
};

class Civet final : public HttpServer {
 public:
  // Throws where it cannot listen.
  Civet(const HttpAddress& address, const Pages& pages)
      : address_(address),
        server_(std::vector<std::string>{"listening_ports", FormatHttpAddress(address),
                                         "num_threads", kThreads, "request_timeout_ms",
                                         kRequestTimeoutMs, "max_request_size", kLongestRequest}) {
    for (const auto& [path, page] : pages) {
      handlers_.push_back(std::make_unique<Handler>(page));
      // Without the dollar also whatever is below.
      server_.addHandler(path + "$", *handlers_.back());
    }
    address_.port = static_cast<std::uint16_t>(server_.getListeningPorts().at(0));
  }
  // Threads first, then what they use.
  ~Civet() override { server_.close(); }
  Civet(const Civet&) = delete;
  Civet& operator=(const Civet&) = delete;

  [[nodiscard]] HttpAddress address() const override { return address_; }

 private:
  HttpAddress address_;
  std::vector<std::unique_ptr<Handler>> handlers_;
  CivetServer server_;
};

}  // namespace

bool HttpServer::KnowsIpv6() { return mg_check_feature(MG_FEATURES_IPV6) != 0; }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Create(const HttpAddress& address,
                                                               const Pages& pages) {
  // Debian 12's civetweb is built without it, and would only say that it cannot start.
  if (address.is_ipv6 && !HttpServer::KnowsIpv6()) {
    return absl::FailedPreconditionError(
        fmt::format("cannot listen at {}: this machine's civetweb was built without IPv6",
                    FormatHttpAddress(address)));
  }
  try {
    return std::make_unique<Civet>(address, pages);
  } catch (const std::exception&) {
    // What it says is about itself: "null context when constructing CivetServer".
    return absl::FailedPreconditionError(fmt::format(
        "cannot listen at {}: the address is none of this machine's, or the port is taken",
        FormatHttpAddress(address)));
  }
}

}  // namespace dp::monitor
