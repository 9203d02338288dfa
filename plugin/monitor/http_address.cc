// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor/http_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <array>
#include <charconv>
#include <system_error>

namespace dp::monitor {
namespace {

absl::Status NoAddress(std::string_view text) {
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is no address and port, such as 127.0.0.1:9465 or [::1]:9465", text));
}

}  // namespace

absl::StatusOr<HttpAddress> ParseHttpAddress(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return NoAddress(text);
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  HttpAddress address;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size()) return NoAddress(text);

  const bool in_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (in_brackets) host = host.substr(1, host.size() - 2);
  address.host = std::string(host);
  in_addr ipv4{};
  in6_addr ipv6{};
  if (!in_brackets && ::inet_pton(AF_INET, address.host.c_str(), &ipv4) == 1) {
    address.is_any = ipv4.s_addr == htonl(INADDR_ANY);
  } else if (::inet_pton(AF_INET6, address.host.c_str(), &ipv6) == 1) {
    address.is_ipv6 = true;
    // ::ffff:0.0.0.0 is the same for IPv4 in a socket of IPv6.
    constexpr std::size_t kPrefix = 12;
    bool is_zero = true;
    for (std::size_t i = kPrefix; i < sizeof ipv6.s6_addr; ++i) is_zero &= ipv6.s6_addr[i] == 0;
    address.is_any = IN6_IS_ADDR_UNSPECIFIED(&ipv6) || (IN6_IS_ADDR_V4MAPPED(&ipv6) && is_zero);
    std::array<char, INET6_ADDRSTRLEN> canonical{};
    address.host = ::inet_ntop(AF_INET6, &ipv6, canonical.data(), canonical.size());
  } else {
    return NoAddress(text);
  }
  return address;
}

std::string FormatHttpAddress(const HttpAddress& address) {
  return fmt::format(fmt::runtime(address.is_ipv6 ? "[{}]:{}" : "{}:{}"), address.host,
                     address.port);
}

}  // namespace dp::monitor
