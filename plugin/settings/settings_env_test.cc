// SPDX-License-Identifier: Apache-2.0
#include "plugin/settings/settings_env.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

namespace dp::settings {
namespace {

using ::testing::HasSubstr;

core::Settings Enforced() {
  const core::Window window{.base = 0x09100000, .size = 0x100000};
  return {.resource = "vendor.example/nvme",
          .generation = 41,
          .mode = core::Mode::kEnforce,
          .mode_reason = {},
          .window = window,
          .page_size = 4096,
          .groups = {{.device = "0000:01:00.0",
                      .number = 7,
                      .functions = {"0000:01:00.0", "0000:01:00.1"},
                      .window = window},
                     {.device = "0000:02:00.0",
                      .number = 8,
                      .functions = {"0000:02:00.0"},
                      .window = window}}};
}

TEST(SettingsEnvTest, SaysWhatIsReserved) {
  EXPECT_EQ(ToEnv(Enforced()), R"(VFIO_DOORBELL_MODE_VENDOR_EXAMPLE_NVME='enforce'
VFIO_DOORBELL_GENERATION_VENDOR_EXAMPLE_NVME='41'
VFIO_DOORBELL_WINDOW_BASE_VENDOR_EXAMPLE_NVME='0x09100000'
VFIO_DOORBELL_WINDOW_SIZE_VENDOR_EXAMPLE_NVME='0x00100000'
VFIO_DOORBELL_PAGE_SIZE_VENDOR_EXAMPLE_NVME='4096'
VFIO_DOORBELL_GROUPS_VENDOR_EXAMPLE_NVME='7 8'
VFIO_DOORBELL_FUNCTIONS_VENDOR_EXAMPLE_NVME='0000:01:00.0 0000:01:00.1 0000:02:00.0'
)");
}

TEST(SettingsEnvTest, HasEmptyValuesWhereThereIsNoWindow) {
  core::Settings settings = Enforced();
  settings.mode = core::Mode::kObserve;
  settings.window = std::nullopt;
  EXPECT_THAT(ToEnv(settings), HasSubstr("WINDOW_BASE_VENDOR_EXAMPLE_NVME=''\n"));
  EXPECT_THAT(ToEnv(settings), HasSubstr("WINDOW_SIZE_VENDOR_EXAMPLE_NVME=''\n"));
}

// What a shell makes of it, and nothing else: no command in a name of the host is run.
TEST(SettingsEnvTest, IsReadByAShell) {
  core::Settings settings = Enforced();
  settings.groups.resize(1);
  settings.groups[0].functions = {"it's", "$(echo run)", "`echo run`", "\"\\n"};
  const std::string path = ::testing::TempDir() + "settings.env";
  std::ofstream(path) << ToEnv(settings);
  const std::string command =
      ". " + path + R"( && printf %s "$VFIO_DOORBELL_FUNCTIONS_VENDOR_EXAMPLE_NVME")";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), &::pclose);
  ASSERT_NE(pipe, nullptr);
  std::array<char, 256> output{};
  const std::size_t length = std::fread(output.data(), 1, output.size(), pipe.get());
  EXPECT_EQ(std::string(output.data(), length), R"(it's $(echo run) `echo run` "\n)");
}

}  // namespace
}  // namespace dp::settings
