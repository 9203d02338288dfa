// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "plugin/base/unique_fd.h"

namespace dp::fakes {

// A connection to a port of 127.0.0.1; invalid if nobody listens there.
inline base::UniqueFd ConnectToPort(std::uint16_t port) {
  base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return {};
  }
  return socket;
}

// All that a server says to `request` until it closes the connection; empty: nobody listens.
inline std::string SendHttp(std::uint16_t port, const std::string& request) {
  const base::UniqueFd socket = ConnectToPort(port);
  if (!socket.valid()) return {};
  if (::write(socket.get(), request.data(), request.size()) !=
      static_cast<ssize_t>(request.size())) {
    return {};
  }
  std::string answer;
  std::array<char, 4096> chunk{};
  for (ssize_t count = 0; (count = ::read(socket.get(), chunk.data(), chunk.size())) > 0;) {
    answer.append(chunk.data(), static_cast<std::size_t>(count));
  }
  return answer;
}

inline std::string GetHttp(std::uint16_t port, const std::string& path) {
  return SendHttp(port, "GET " + path + " HTTP/1.1\r\nHost: monitor\r\n\r\n");
}

}  // namespace dp::fakes
