// SPDX-License-Identifier: Apache-2.0
#include "plugin/metrics/controller_metrics.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>

#include "plugin/base/unique_fd.h"

namespace dp::metrics {
namespace {

using ::testing::HasSubstr;

// A port that is free now, and not given to others soon.
int FreePort() {
  const base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  return ntohs(address.sin_port);
}

std::string Ask(int port) {
  const base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  EXPECT_EQ(::write(socket.get(), request.data(), request.size()),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  std::array<char, 4096> chunk{};
  for (ssize_t count = 0; (count = ::read(socket.get(), chunk.data(), chunk.size())) > 0;) {
    answer.append(chunk.data(), static_cast<std::size_t>(count));
  }
  return answer;
}

TEST(ControllerMetricsTest, ShowsWhatWasSetLast) {
  const int port = FreePort();
  auto metrics =
      ControllerMetrics::Create(fmt::format("127.0.0.1:{}", port), {"in_step", "forbidden"});
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  (*metrics)->Set({.state = "forbidden", .passes = 2, .failures = 2});
  (*metrics)->Set({.state = "in_step", .passes = 7, .patches = 1, .failures = 2, .waiting = 3});
  const std::string answer = Ask(port);
  EXPECT_THAT(answer, HasSubstr("vfio_doorbell_controller_state{state=\"in_step\"} 1\n"));
  EXPECT_THAT(answer, HasSubstr("vfio_doorbell_controller_state{state=\"forbidden\"} 0\n"));
  EXPECT_THAT(answer, HasSubstr("vfio_doorbell_controller_passes_total 7\n"));
  EXPECT_THAT(answer, HasSubstr("vfio_doorbell_controller_patches_total 1\n"));
  EXPECT_THAT(answer, HasSubstr("vfio_doorbell_controller_failures_total 2\n"));
  EXPECT_THAT(answer, HasSubstr("vfio_doorbell_controller_waiting_resources 3\n"));
}

TEST(ControllerMetricsTest, SaysThatItCannotListen) {
  const int port = FreePort();
  const std::string address = fmt::format("127.0.0.1:{}", port);
  auto first = ControllerMetrics::Create(address, {});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(ControllerMetrics::Create(address, {}).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(ControllerMetrics::Create("nowhere", {}).status()));
}

}  // namespace
}  // namespace dp::metrics
