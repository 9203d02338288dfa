// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller_app/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "plugin/cli/parse_words.h"

namespace dp::controller_app {
namespace {

using ::testing::HasSubstr;
using ::testing::internal::CaptureStderr;
using ::testing::internal::CaptureStdout;
using ::testing::internal::GetCapturedStderr;
using ::testing::internal::GetCapturedStdout;

constexpr char kAccount[] = "/var/run/secrets/kubernetes.io/serviceaccount/";

ParsedOptions Parse(const std::vector<const char*>& words) {
  return cli::ParseWords(&ParseOptions, "vfio-doorbell-controller", words);
}

// What the kubelet gives each container.
class InPod {
 public:
  explicit InPod(const char* host) {
    setenv("KUBERNETES_SERVICE_HOST", host, 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
  }
  InPod(const InPod&) = delete;
  InPod& operator=(const InPod&) = delete;
  ~InPod() {
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
  }
};

TEST(OptionsTest, FindsTheApiServerOfThePod) {
  const InPod pod("10.96.0.1");
  const ParsedOptions parsed = Parse({});
  EXPECT_EQ(parsed.exit_code, -1);
  EXPECT_EQ(parsed.options.api_server.url, "https://10.96.0.1:443");
  EXPECT_EQ(parsed.options.api_server.token_file, std::string(kAccount) + "token");
  EXPECT_EQ(parsed.options.api_server.ca_file, std::string(kAccount) + "ca.crt");
  EXPECT_FALSE(parsed.options.identity.empty());
}

TEST(OptionsTest, WritesAnIpv6AddressAsUrlsHaveIt) {
  const InPod pod("fd00::1");
  EXPECT_EQ(Parse({}).options.api_server.url, "https://[fd00::1]:443");
}

TEST(OptionsTest, ShowsNoTokenOfThePodToAnotherServer) {
  const InPod pod("10.96.0.1");
  const ParsedOptions parsed = Parse({"--api-server=http://127.0.0.1:8080"});
  EXPECT_EQ(parsed.options.api_server.url, "http://127.0.0.1:8080");
  EXPECT_EQ(parsed.options.api_server.token_file, "");
  EXPECT_EQ(parsed.options.api_server.ca_file, "");
}

TEST(OptionsTest, NeedsAnApiServer) {
  CaptureStderr();
  EXPECT_EQ(Parse({}).exit_code, kExitUsage);
  EXPECT_THAT(GetCapturedStderr(), HasSubstr("--api-server"));
  CaptureStderr();
  EXPECT_EQ(Parse({"--api-server=127.0.0.1"}).exit_code, kExitUsage);
  EXPECT_THAT(GetCapturedStderr(), HasSubstr("https://"));
}

TEST(OptionsTest, TakesAFlagFromTheEnvironmentToo) {
  const InPod pod("10.96.0.1");
  setenv("VFIO_DOORBELL_LEASE_DURATION", "20", 1);
  setenv("VFIO_DOORBELL_DISABLE", "true", 1);
  const ParsedOptions parsed = Parse({});
  unsetenv("VFIO_DOORBELL_LEASE_DURATION");
  unsetenv("VFIO_DOORBELL_DISABLE");
  EXPECT_EQ(parsed.options.lease_duration, std::chrono::seconds(20));
  EXPECT_TRUE(parsed.options.disable);
}

TEST(OptionsTest, TakesNameAndNamespaceTogether) {
  const InPod pod("10.96.0.1");
  EXPECT_EQ(Parse({"--kubevirt-namespace=a", "--kubevirt-name=b"}).exit_code, -1);
  for (const char* alone : {"--kubevirt-namespace=a", "--kubevirt-name=b"}) {
    CaptureStderr();
    EXPECT_EQ(Parse({alone}).exit_code, kExitUsage) << alone;
    GetCapturedStderr();
  }
}

TEST(OptionsTest, RefusesNonsense) {
  const InPod pod("10.96.0.1");
  for (const char* flag :
       {"--interval=0", "--interval=x", "--lease-duration=1", "--log-level=loud", "--no-such"}) {
    CaptureStderr();
    EXPECT_EQ(Parse({flag}).exit_code, kExitUsage) << flag;
    GetCapturedStderr();
  }
}

TEST(OptionsTest, PrintsHelpAndVersion) {
  CaptureStdout();
  EXPECT_EQ(Parse({"--help"}).exit_code, kExitOk);
  EXPECT_THAT(GetCapturedStdout(), HasSubstr("--dry-run"));
  CaptureStdout();
  EXPECT_EQ(Parse({"--version"}).exit_code, kExitOk);
  EXPECT_THAT(GetCapturedStdout(), HasSubstr("vfio-doorbell-controller "));
}

}  // namespace
}  // namespace dp::controller_app
