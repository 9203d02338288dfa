// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace dp::monitor {

// Where to listen.
struct HttpAddress {
  std::string host;  // "127.0.0.1", "::1"
  bool is_ipv6 = false;
  bool is_any = false;     // every address of the machine
  std::uint16_t port = 0;  // 0: one that is free
};

// Reads "127.0.0.1:9465", "[fd00::1]:9465", and also "fd00::1:9465", which is what a manifest makes
// of
// $(POD_IP):9465. No names: what a name stands for is decided elsewhere. InvalidArgument: one
// sentence with the text.
absl::StatusOr<HttpAddress> ParseHttpAddress(std::string_view text);

// "127.0.0.1:9465", "[fd00::1]:9465".
std::string FormatHttpAddress(const HttpAddress& address);

}  // namespace dp::monitor
