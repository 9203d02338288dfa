// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor/http_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dp::monitor {
namespace {

using ::testing::HasSubstr;

std::string Again(const char* text) {
  const auto address = ParseHttpAddress(text);
  return address.ok() ? FormatHttpAddress(*address) : std::string(address.status().message());
}

TEST(HttpAddressTest, ReadsBothFamilies) {
  EXPECT_EQ(Again("127.0.0.1:9465"), "127.0.0.1:9465");
  EXPECT_EQ(Again("[::1]:9465"), "[::1]:9465");
  EXPECT_EQ(Again("[FD00:0:0::1]:80"), "[fd00::1]:80");
  EXPECT_EQ(Again("127.0.0.1:0"), "127.0.0.1:0");
}

TEST(HttpAddressTest, ReadsWhatAManifestMakesOfThePodsAddress) {
  EXPECT_EQ(Again("fd00::1:9465"), "[fd00::1]:9465");
  EXPECT_EQ(Again("fd00:1:2:3:4:5:6:7:9465"), "[fd00:1:2:3:4:5:6:7]:9465");
}

TEST(HttpAddressTest, KnowsEveryAddressByAllItsNames) {
  for (const char* text :
       {"0.0.0.0:1", "[::]:1", ":::1", "[0:0:0:0:0:0:0:0]:1", "[::ffff:0.0.0.0]:1"}) {
    const auto address = ParseHttpAddress(text);
    ASSERT_TRUE(address.ok()) << text << ": " << address.status();
    EXPECT_TRUE(address->is_any) << text;
  }
  for (const char* text : {"127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "0.0.0.1:1"}) {
    const auto address = ParseHttpAddress(text);
    ASSERT_TRUE(address.ok()) << text << ": " << address.status();
    EXPECT_FALSE(address->is_any) << text;
  }
}

TEST(HttpAddressTest, RefusesWhatIsNoAddressAndPort) {
  for (const char* text : {"",
                           ":",
                           "9465",
                           "+9465",
                           ":9465",
                           "localhost:9465",
                           "127.0.0.1",
                           "127.0.0.1:",
                           "127.0.0.1:x",
                           "127.0.0.1:9465s",
                           "127.0.0.1:65536",
                           "127.0.0.1:-1",
                           "127.0.0.1: 1",
                           "[127.0.0.1]:1",
                           "[::1:1",
                           "::1]:1",
                           "[]:1",
                           "127.0.0.1:1,0.0.0.0:2",
                           "127.1:1",
                           "fe80::1%lo:1"}) {
    const auto address = ParseHttpAddress(text);
    ASSERT_TRUE(absl::IsInvalidArgument(address.status())) << text;
    EXPECT_THAT(std::string(address.status().message()),
                HasSubstr("\"" + std::string(text) + "\" is no address and port"));
  }
}

}  // namespace
}  // namespace dp::monitor
