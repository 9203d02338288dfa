// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <vector>

#include "plugin/cli/parse_words.h"

namespace dp::app {
namespace {

using ::testing::HasSubstr;
using ::testing::internal::CaptureStderr;
using ::testing::internal::CaptureStdout;
using ::testing::internal::GetCapturedStderr;
using ::testing::internal::GetCapturedStdout;

ParsedOptions Parse(const std::vector<const char*>& words) {
  return cli::ParseWords(&ParseOptions, "vfio-doorbell-plugin", words);
}

TEST(OptionsTest, ServesByDefault) {
  const ParsedOptions parsed = Parse({});
  EXPECT_EQ(parsed.exit_code, -1);
  EXPECT_EQ(parsed.options.action, Options::Action::kServe);
  EXPECT_EQ(parsed.options.kubelet_dir, "/var/lib/kubelet/device-plugins");
  EXPECT_EQ(parsed.options.registration, "kubelet-socket");
  EXPECT_EQ(parsed.options.rescan_interval, std::chrono::minutes(1));
}

TEST(OptionsTest, TakesEveryFlagFromTheEnvironmentToo) {
  const std::vector<std::pair<const char*, std::string Options::*>> flags = {
      {"VFIO_DOORBELL_CONFIG", &Options::config},
      {"VFIO_DOORBELL_KUBELET_DIR", &Options::kubelet_dir},
      {"VFIO_DOORBELL_REGISTRATION", &Options::registration},
      {"VFIO_DOORBELL_PLUGINS_REGISTRY_DIR", &Options::plugins_registry_dir},
      {"VFIO_DOORBELL_SYSFS_ROOT", &Options::sysfs_root},
      {"VFIO_DOORBELL_DEV_ROOT", &Options::dev_root},
      {"VFIO_DOORBELL_STATE_DIR", &Options::state_dir},
      {"VFIO_DOORBELL_CDI_DIR", &Options::cdi_dir},
      {"VFIO_DOORBELL_DATA_DIR", &Options::data_dir},
      {"VFIO_DOORBELL_POD_RESOURCES_SOCKET", &Options::pod_resources_socket},
      {"VFIO_DOORBELL_LOG_LEVEL", &Options::log_level},
      {"VFIO_DOORBELL_LOG_FORMAT", &Options::log_format},
  };
  for (const auto& [name, member] : flags) {
    const std::string value = name == std::string("VFIO_DOORBELL_LOG_LEVEL")    ? "debug"
                              : name == std::string("VFIO_DOORBELL_LOG_FORMAT") ? "json"
                              : name == std::string("VFIO_DOORBELL_REGISTRATION")
                                  ? "plugins-registry"
                                  : "/elsewhere";
    setenv(name, value.c_str(), 1);
    const ParsedOptions parsed = Parse({});
    unsetenv(name);
    EXPECT_EQ(parsed.exit_code, -1) << name;
    EXPECT_EQ(parsed.options.*member, value) << name;
  }
  setenv("VFIO_DOORBELL_RESCAN_INTERVAL", "5", 1);
  EXPECT_EQ(Parse({}).options.rescan_interval, std::chrono::seconds(5));
  unsetenv("VFIO_DOORBELL_RESCAN_INTERVAL");
  setenv("VFIO_DOORBELL_RELEASE_GRACE", "7", 1);
  EXPECT_EQ(Parse({}).options.release_grace, std::chrono::seconds(7));
  unsetenv("VFIO_DOORBELL_RELEASE_GRACE");
  setenv("VFIO_DOORBELL_CHECK_CONFIG", "true", 1);
  EXPECT_EQ(Parse({}).options.action, Options::Action::kCheckConfig);
  unsetenv("VFIO_DOORBELL_CHECK_CONFIG");
  setenv("VFIO_DOORBELL_RELEASE", "true", 1);
  EXPECT_EQ(Parse({}).options.action, Options::Action::kRelease);
  unsetenv("VFIO_DOORBELL_RELEASE");
}

TEST(OptionsTest, PrefersTheCommandLine) {
  setenv("VFIO_DOORBELL_CONFIG", "/from/environment", 1);
  EXPECT_EQ(Parse({"--config", "/from/command/line"}).options.config, "/from/command/line");
  unsetenv("VFIO_DOORBELL_CONFIG");
  EXPECT_EQ(Parse({"--config", "/first", "--config", "/last"}).options.config, "/last");
}

TEST(OptionsTest, PrintsVersionAndHelp) {
  CaptureStdout();
  EXPECT_EQ(Parse({"--version"}).exit_code, kExitOk);
  EXPECT_EQ(GetCapturedStdout(), "vfio-doorbell-plugin " VFIO_DOORBELL_VERSION "\n");
  CaptureStdout();
  EXPECT_EQ(Parse({"--help"}).exit_code, kExitOk);
  const std::string help = GetCapturedStdout();
  EXPECT_THAT(help, HasSubstr("--kubelet-dir"));
  EXPECT_THAT(help, HasSubstr("VFIO_DOORBELL_KUBELET_DIR"));
  EXPECT_THAT(help, HasSubstr("Exit codes"));
}

TEST(OptionsTest, RefusesWhatItDoesNotKnow) {
  for (const auto& [arguments, named] :
       std::vector<std::pair<std::vector<const char*>, std::string>>{
           {{"--frobnicate"}, "--frobnicate"},
           {{"--log-level", "loud"}, "--log-level"},
           {{"--log-format", "xml"}, "--log-format"},
           {{"--registration", "both"}, "--registration"},
           {{"--rescan-interval", "0"}, "--rescan-interval"},
           {{"--rescan-interval", "-1"}, "--rescan-interval"},
           {{"--rescan-interval", "1m"}, "--rescan-interval"},
           {{"--rescan-interval", "86401"}, "--rescan-interval"},
           {{"--release-grace", "0"}, "--release-grace"},
           {{"--config"}, "--config"},
           {{"extra"}, "extra"},
           {{"--check-config", "--release"}, "--release"}}) {
    CaptureStderr();
    EXPECT_EQ(Parse(arguments).exit_code, kExitUsage) << named;
    EXPECT_THAT(GetCapturedStderr(), HasSubstr(named));
  }
}

}  // namespace
}  // namespace dp::app
