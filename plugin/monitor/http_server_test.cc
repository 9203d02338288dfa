// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/fakes/http_client.h"

namespace dp::monitor {
namespace {

using fakes::GetHttp;
using fakes::SendHttp;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class HttpServerTest : public ::testing::Test {
 protected:
  static HttpServer::Pages Pages() {
    return {
        {"/good", [] { return HttpAnswer{.code = 200, .body = "fine\n"}; }},
        {"/good/below", [] { return HttpAnswer{.code = 200, .body = "below\n"}; }},
        {"/bad", [] { return HttpAnswer{.code = 503, .body = "not so\n"}; }},
    };
  }

  std::unique_ptr<HttpServer> server_ =
      HttpServer::Create(*ParseHttpAddress("127.0.0.1:0"), Pages()).value();
  std::uint16_t port_ = server_->address().port;
};

TEST_F(HttpServerTest, ShowsThePagesThatItHas) {
  EXPECT_THAT(GetHttp(port_, "/good"), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(GetHttp(port_, "/good"), EndsWith("\r\n\r\nfine\n"));
  EXPECT_THAT(GetHttp(port_, "/good?verbose"), EndsWith("\r\n\r\nfine\n"));
  EXPECT_THAT(GetHttp(port_, "/good/below"), EndsWith("\r\n\r\nbelow\n"));
  EXPECT_THAT(GetHttp(port_, "/bad"), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(GetHttp(port_, "/bad"), EndsWith("\r\n\r\nnot so\n"));
}

TEST_F(HttpServerTest, HasNothingElse) {
  for (const char* path : {"/", "/goo", "/goods", "/good/", "/good/other", "/../etc/passwd",
                           "/etc/passwd", "/%2e%2e/etc/passwd"}) {
    EXPECT_THAT(GetHttp(port_, path), Not(HasSubstr(" 200 "))) << path;
    EXPECT_THAT(GetHttp(port_, path), StartsWith("HTTP/1.1 4")) << path;
  }
}

TEST_F(HttpServerTest, TakesNoBody) {
  EXPECT_THAT(SendHttp(port_, "HEAD /good HTTP/1.1\r\nHost: monitor\r\n\r\n"),
              EndsWith("Connection: close\r\n\r\n"));
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH"}) {
    const std::string answer =
        SendHttp(port_, std::string(method) +
                            " /good HTTP/1.1\r\nHost: monitor\r\nContent-Length: 2\r\n\r\nxx");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 4")) << method;
  }
}

TEST_F(HttpServerTest, RefusesAnEndlessRequest) {
  const std::string answer = SendHttp(
      port_, "GET /good HTTP/1.1\r\nX: " + std::string(7000, 'x') + std::string(7000, 'x'));
  EXPECT_THAT(answer, Not(HasSubstr(" 200 ")));
}

TEST_F(HttpServerTest, SaysThatItCannotListen) {
  const auto second = HttpServer::Create(server_->address(), Pages());
  ASSERT_TRUE(absl::IsFailedPrecondition(second.status()));
  EXPECT_THAT(std::string(second.status().message()),
              StartsWith("cannot listen at " + FormatHttpAddress(server_->address()) + ":"));
}

TEST(HttpServerAddressTest, ListensAtIpv6OrSaysWhyNot) {
  const auto server = HttpServer::Create(*ParseHttpAddress("[::1]:0"), {});
  if (HttpServer::KnowsIpv6()) {
    ASSERT_TRUE(server.ok()) << server.status();
    EXPECT_NE((*server)->address().port, 0);
    EXPECT_FALSE(fakes::ConnectToPort((*server)->address().port).valid());
  } else {
    EXPECT_EQ(std::string(server.status().message()),
              "cannot listen at [::1]:0: this machine's civetweb was built without IPv6");
  }
}

}  // namespace
}  // namespace dp::monitor
