// SPDX-License-Identifier: Apache-2.0
#include "plugin/kube/http_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/cord.h"
#include "plugin/base/parse.h"
#include "plugin/json/parse_json.h"

namespace dp::kube {
namespace {

constexpr json::Bounds kBounds{.bytes = std::size_t{1} << 20, .depth = 32};
// An admission webhook may say as much as it likes.
constexpr std::size_t kLongest = 400;
// The key of the payload.
constexpr char kRetryAfter[] = "vfio-doorbell.io/retry-after";
constexpr std::chrono::seconds kLongestWait{24 * 3600};

std::string TextOf(const nlohmann::json& status, const char* field) {
  const auto found = status.find(field);
  return found != status.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string OneLine(std::string text) {
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

absl::StatusCode CodeOf(int code, std::string_view reason) {
  constexpr int kServerError = 500;
  switch (code) {
    case 400:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
    case 410:
      return absl::StatusCode::kNotFound;
    case 409:
      return reason == "AlreadyExists" ? absl::StatusCode::kAlreadyExists
                                       : absl::StatusCode::kAborted;
    case 422:
      return absl::StatusCode::kFailedPrecondition;
    case 429:
      return absl::StatusCode::kUnavailable;
    default:
      return code >= kServerError ? absl::StatusCode::kUnavailable : absl::StatusCode::kUnknown;
  }
}

}  // namespace

absl::Status HttpError(int code, std::string_view body, std::string_view retry_after) {
  std::string message;
  std::string reason;
  const auto status = json::Parse(body, kBounds);
  if (status.ok() && status->is_object()) {
    message = TextOf(*status, "message");
    reason = TextOf(*status, "reason");
  } else {
    message = std::string(body.substr(0, kLongest + 1));
  }
  if (message.empty()) message = reason.empty() ? "without a reason" : reason;
  absl::Status error(CodeOf(code, reason),
                     fmt::format("{}: {}", code, OneLine(std::move(message))));
  if (base::ParseDecimal<std::uint32_t>(retry_after)) {
    error.SetPayload(kRetryAfter, absl::Cord(std::string(retry_after)));
  }
  return error;
}

std::chrono::seconds RetryAfter(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryAfter);
  if (!payload) return std::chrono::seconds(0);
  const auto seconds = base::ParseDecimal<std::uint32_t>(std::string(*payload));
  return seconds ? std::min(std::chrono::seconds(*seconds), kLongestWait) : std::chrono::seconds(0);
}

}  // namespace dp::kube
