// SPDX-License-Identifier: Apache-2.0
#include "plugin/kube/rest_api.h"

#include <cpprest/http_client.h>
#include <cpprest/rawptrstream.h>
#include <fmt/format.h>
#include <pplx/threadpool.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "plugin/base/status_macros.h"
#include "plugin/json/parse_json.h"
#include "plugin/kube/http_error.h"
#include "plugin/os/file.h"

// The only place of cpprestsdk, and where its exceptions end. It is made for many requests at once
// and has 40 threads for them; ours come one at a time, so two are enough: one may wait in a
// handler of the library while the other moves bytes. Calls are waited for, because each one of a
// pass needs the answer to the one before.

namespace dp::kube {
namespace {

namespace http = web::http;
using Json = nlohmann::json;

constexpr json::Bounds kBounds{.bytes = std::size_t{16} << 20, .depth = 100};
constexpr std::size_t kChunk = std::size_t{16} << 10;
constexpr std::size_t kLongestToken = std::size_t{64} << 10;
constexpr std::size_t kLongestCa = std::size_t{1} << 20;
constexpr int kFirstError = 300;
constexpr std::size_t kThreads = 2;

void LimitThreads() {
  static const bool kDone = [] {
    crossplat::threadpool::initialize_with_threads(kThreads);
    return true;
  }();
  static_cast<void>(kDone);
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  auto token = os::ReadFile(path, kLongestToken);
  if (!token.ok()) return absl::UnauthenticatedError(std::string(token.status().message()));
  while (!token->empty() && (token->back() == '\n' || token->back() == '\r')) token->pop_back();
  // It becomes part of a header.
  for (const char c : *token) {
    if (c <= ' ' || c > '~') {
      return absl::UnauthenticatedError(fmt::format("{}: is no token", path));
    }
  }
  return *std::move(token);
}

// Up to the end that the server has announced; a body that breaks off throws or is too short.
absl::StatusOr<std::string> ReadBody(const http::http_response& response) {
  const std::uint64_t announced = response.headers().content_length();
  if (announced > kBounds.bytes) {
    return absl::InvalidArgumentError(fmt::format("the answer has {} bytes", announced));
  }
  auto stream = response.body();
  std::string body;
  std::vector<std::uint8_t> chunk(kChunk);
  for (;;) {
    Concurrency::streams::rawptr_buffer<std::uint8_t> target(chunk.data(), chunk.size(),
                                                             std::ios::out);
    const std::size_t count = stream.read(target, chunk.size()).get();
    if (count == 0) break;
    body.append(chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(count));
    if (body.size() > kBounds.bytes) {
      return absl::InvalidArgumentError("the answer has no end");
    }
  }
  if (body.size() < announced) {
    return absl::UnavailableError(
        fmt::format("the answer ends after {} of {} bytes", body.size(), announced));
  }
  return body;
}

}  // namespace

struct RestApi::Connection {
  explicit Connection(Server the_server) : server(std::move(the_server)) {}

  absl::StatusOr<Json> Call(const http::method& method, const std::string& path,
                            const char* content_type, const Json* content);
  absl::StatusOr<Json> Exchange(const http::method& method, const std::string& path,
                                const char* content_type, const Json* content);
  absl::Status Open();

  const Server server;
  std::optional<http::client::http_client> client;
  std::string ca;  // what `client` trusts
  pplx::cancellation_token_source cancellation;
};

// Makes the client, again if there are other authorities now.
absl::Status RestApi::Connection::Open() {
  std::string now;
  if (!server.ca_file.empty()) {
    auto authorities = os::ReadFile(server.ca_file, kLongestCa);
    if (!authorities.ok()) {
      return absl::UnauthenticatedError(std::string(authorities.status().message()));
    }
    now = *std::move(authorities);
  }
  if (client && now == ca) return absl::OkStatus();
  LimitThreads();
  http::client::http_client_config config;
  config.set_timeout(server.timeout);
  // A redirection would take the token along.
  config.set_max_redirects(0);
  if (!now.empty()) {
    config.set_ssl_context_callback([now](boost::asio::ssl::context& context) {
      context.add_certificate_authority(boost::asio::buffer(now));
    });
  }
  client.emplace(server.url, config);
  ca = std::move(now);
  return absl::OkStatus();
}

absl::StatusOr<Json> RestApi::Connection::Exchange(const http::method& method,
                                                   const std::string& path,
                                                   const char* content_type, const Json* content) {
  RETURN_IF_ERROR(Open());
  http::http_request request(method);
  request.set_request_uri(path);
  request.headers().add("Accept", "application/json");
  request.headers().add("User-Agent", server.user_agent);
  if (!server.token_file.empty()) {
    ASSIGN_OR_RETURN(const std::string token, ReadToken(server.token_file));
    request.headers().add("Authorization", "Bearer " + token);
  }
  if (content != nullptr) request.set_body(content->dump(), content_type);
  const http::http_response response = client->request(request, cancellation.get_token()).get();
  ASSIGN_OR_RETURN(const std::string body, ReadBody(response));
  if (response.status_code() >= kFirstError) {
    const auto wait = response.headers().find("Retry-After");
    return HttpError(response.status_code(), body,
                     wait == response.headers().end() ? std::string() : wait->second);
  }
  auto object = json::Parse(body, kBounds);
  if (!object.ok()) {
    return absl::InvalidArgumentError("the answer: " + std::string(object.status().message()));
  }
  if (!object->is_object()) return absl::InvalidArgumentError("the answer is no object");
  return object;
}

absl::StatusOr<Json> RestApi::Connection::Call(const http::method& method, const std::string& path,
                                               const char* content_type, const Json* content) {
  const auto failed = [&](absl::StatusCode code, std::string_view reason) {
    return absl::Status(code, fmt::format("{} {}: {}", method, path, reason));
  };
  try {
    auto object = Exchange(method, path, content_type, content);
    if (object.ok()) return object;
    absl::Status error = failed(object.status().code(), std::string(object.status().message()));
    object.status().ForEachPayload(
        [&](auto key, const absl::Cord& payload) { error.SetPayload(key, payload); });
    return error;
  } catch (const pplx::task_canceled&) {
    return failed(absl::StatusCode::kCancelled, "given up");
  } catch (const std::exception& error) {
    // A timeout reads like a cancellation here, so the source of it decides.
    return failed(cancellation.get_token().is_canceled() ? absl::StatusCode::kCancelled
                                                         : absl::StatusCode::kUnavailable,
                  error.what());
  }
}

RestApi::RestApi(Server server) : connection_(std::make_unique<Connection>(std::move(server))) {}

RestApi::~RestApi() = default;

absl::StatusOr<Json> RestApi::Get(const std::string& path) {
  return connection_->Call(http::methods::GET, path, nullptr, nullptr);
}

absl::StatusOr<Json> RestApi::Patch(const std::string& path, const Json& operations) {
  return connection_->Call(http::methods::PATCH, path, "application/json-patch+json", &operations);
}

absl::StatusOr<Json> RestApi::StrategicPatch(const std::string& path, const Json& change) {
  return connection_->Call(http::methods::PATCH, path, "application/strategic-merge-patch+json",
                           &change);
}

absl::StatusOr<Json> RestApi::Create(const std::string& path, const Json& object) {
  return connection_->Call(http::methods::POST, path, "application/json", &object);
}

absl::StatusOr<Json> RestApi::Replace(const std::string& path, const Json& object) {
  return connection_->Call(http::methods::PUT, path, "application/json", &object);
}

void RestApi::Cancel() { connection_->cancellation.cancel(); }

void RestApi::Reopen() { connection_->cancellation = {}; }

}  // namespace dp::kube
