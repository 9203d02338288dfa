// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor_app/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "plugin/cli/parse_words.h"

namespace dp::monitor_app {
namespace {

using ::testing::HasSubstr;
using ::testing::internal::CaptureStderr;
using ::testing::internal::CaptureStdout;
using ::testing::internal::GetCapturedStderr;
using ::testing::internal::GetCapturedStdout;

ParsedOptions Parse(const std::vector<const char*>& words) {
  return cli::ParseWords(&ParseOptions, "vfio-doorbell-monitor", words);
}

TEST(OptionsTest, ListensAtTheLoopbackUnlessSaidOtherwise) {
  const ParsedOptions parsed = Parse({});
  EXPECT_EQ(parsed.exit_code, -1);
  EXPECT_EQ(monitor::FormatHttpAddress(parsed.options.http_address), "127.0.0.1:9465");
  EXPECT_EQ(parsed.options.admin_socket, "/run/vfio-doorbell/admin.sock");
}

TEST(OptionsTest, ListensAtEveryAddressOnlyIfAskedTwice) {
  for (const char* address : {"0.0.0.0:9465", "[::]:9465", ":::9465"}) {
    const std::string flag = std::string("--http-address=") + address;
    CaptureStderr();
    EXPECT_EQ(Parse({flag.c_str()}).exit_code, kExitUsage) << address;
    EXPECT_EQ(GetCapturedStderr(), std::string("vfio-doorbell-monitor: --http-address: ") +
                                       address +
                                       " is every address of this machine; name one of them, or "
                                       "add --http-any-address\n");
    const ParsedOptions parsed = Parse({flag.c_str(), "--http-any-address"});
    EXPECT_EQ(parsed.exit_code, -1) << address;
    EXPECT_TRUE(parsed.options.http_address.is_any);
  }
}

TEST(OptionsTest, TakesAFlagFromTheEnvironmentToo) {
  setenv("VFIO_DOORBELL_HTTP_ADDRESS", "192.0.2.7:80", 1);
  const ParsedOptions parsed = Parse({});
  unsetenv("VFIO_DOORBELL_HTTP_ADDRESS");
  EXPECT_EQ(monitor::FormatHttpAddress(parsed.options.http_address), "192.0.2.7:80");
}

TEST(OptionsTest, TellsKubernetesNothingUnlessItKnowsTheNode) {
  EXPECT_EQ(Parse({}).options.status.node, "");
  CaptureStderr();
  EXPECT_EQ(Parse({"--feature-file=/x"}).exit_code, kExitUsage);
  EXPECT_THAT(GetCapturedStderr(), HasSubstr("--node-name"));
  CaptureStderr();
  EXPECT_EQ(Parse({"--node-name=a/b", "--api-server=http://127.0.0.1:1"}).exit_code, kExitUsage);
  EXPECT_THAT(GetCapturedStderr(), HasSubstr("a/b is no name of a node"));
  CaptureStderr();
  EXPECT_EQ(Parse({"--node-name=n1"}).exit_code, kExitUsage);
  EXPECT_THAT(GetCapturedStderr(), HasSubstr("no API server"));
}

TEST(OptionsTest, SwitchesEachPartOff) {
  const ParsedOptions all = Parse({"--node-name=n1", "--api-server=http://127.0.0.1:1"});
  EXPECT_EQ(all.exit_code, -1);
  EXPECT_TRUE(all.options.status.condition && all.options.status.events &&
              all.options.status.object);
  const ParsedOptions none = Parse(
      {"--node-name=n1", "--no-condition", "--no-events", "--no-object", "--feature-file=/x"});
  EXPECT_EQ(none.exit_code, -1) << "no API server is needed";
  EXPECT_FALSE(TellsApiServer(none.options.status));
  EXPECT_EQ(none.options.status.feature_file, "/x");
}

TEST(OptionsTest, RefusesNonsense) {
  for (const char* flag : {"--http-address=9465", "--log-level=loud", "--no-such"}) {
    CaptureStderr();
    EXPECT_EQ(Parse({flag}).exit_code, kExitUsage) << flag;
    EXPECT_NE(GetCapturedStderr(), "") << flag;
  }
}

TEST(OptionsTest, PrintsHelpAndVersion) {
  CaptureStdout();
  EXPECT_EQ(Parse({"--help"}).exit_code, kExitOk);
  EXPECT_THAT(GetCapturedStdout(), HasSubstr("--http-any-address"));
  CaptureStdout();
  EXPECT_EQ(Parse({"--version"}).exit_code, kExitOk);
  EXPECT_THAT(GetCapturedStdout(), HasSubstr("vfio-doorbell-monitor "));
}

}  // namespace
}  // namespace dp::monitor_app
