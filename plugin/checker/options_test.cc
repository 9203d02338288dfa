// SPDX-License-Identifier: Apache-2.0
#include "plugin/checker/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "plugin/cli/parse_words.h"

namespace dp::checker {
namespace {

using ::testing::HasSubstr;

ParsedOptions Parse(const std::vector<const char*>& words) {
  // As anywhere but in a container that is a sidecar.
  ::unsetenv("CONTAINER_NAME");
  const auto parse = [](int argc, const char* const* argv) {
    return ParseOptions(argc, argv, /*number=*/0x2a);
  };
  return cli::ParseWords(parse, "vfio-doorbell-checker", words);
}

TEST(OptionsTest, HasDefaults) {
  const ParsedOptions parsed = Parse({});
  EXPECT_EQ(parsed.exit_code, -1);
  EXPECT_EQ(parsed.options.socket, "/var/run/kubevirt-hooks/vfio-doorbell-000000000000002a.sock");
  EXPECT_EQ(parsed.options.sysfs_root, "/sys");
  EXPECT_EQ(parsed.options.log_level, "info");
  EXPECT_EQ(parsed.options.check, "");
}

TEST(OptionsTest, TakesWhatIsGiven) {
  const ParsedOptions parsed = Parse({"--socket", "/a", "--socket=/b", "--sysfs-root", "/c",
                                      "--log-level", "debug", "--check", "-"});
  EXPECT_EQ(parsed.exit_code, -1);
  EXPECT_EQ(parsed.options.socket, "/b");
  EXPECT_EQ(parsed.options.sysfs_root, "/c");
  EXPECT_EQ(parsed.options.log_level, "debug");
  EXPECT_EQ(parsed.options.check, "-");
}

TEST(OptionsTest, NamesTheSocketAfterItsContainer) {
  EXPECT_EQ(Parse({"--container-name", "hook-sidecar-1"}).options.socket,
            "/var/run/kubevirt-hooks/vfio-doorbell-hook-sidecar-1-000000000000002a.sock");
  EXPECT_EQ(DefaultSocket("../../a b\n", 1),
            "/var/run/kubevirt-hooks/vfio-doorbell-ab-0000000000000001.sock");
  EXPECT_LE(DefaultSocket(std::string(1000, 'x'), ~std::uint64_t{0}).size(), 107U);
  EXPECT_NE(DefaultSocket("a", 1), DefaultSocket("a", 2));
}

TEST(OptionsTest, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(Parse({"--log-level", "loud"}).exit_code, kExitUsage);
  EXPECT_EQ(Parse({"--write"}).exit_code, kExitUsage);
  EXPECT_EQ(Parse({"file.xml"}).exit_code, kExitUsage);
}

TEST(OptionsTest, SaysItsVersion) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(Parse({"--version"}).exit_code, kExitOk);
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("vfio-doorbell-checker 0."));
}

}  // namespace
}  // namespace dp::checker
