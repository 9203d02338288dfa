// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "tests/integration/world.h"

// The examples of docs/vmm.md, on what the daemon really leaves for a container.

namespace dp::integration {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int status = -1;
  std::string output;  // of both streams
};

Outcome RunCommand(const std::string& command) {
  Outcome outcome;
  FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  std::array<char, 1024> buffer{};
  while (const std::size_t length = std::fread(buffer.data(), 1, buffer.size(), pipe))
    outcome.output.append(buffer.data(), length);
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) outcome.status = WEXITSTATUS(status);
  return outcome;
}

class ExamplesTest : public World {
 protected:
  // The container's view of the mount is a link to what is mounted.
  void Mount(const v1beta1::ContainerAllocateResponse& response) {
    ASSERT_EQ(response.mounts_size(), 1);
    const std::filesystem::path there = response.mounts(0).container_path();
    std::filesystem::create_directory(path("run"));
    std::filesystem::create_directory_symlink(response.mounts(0).host_path(),
                                              path("run") / there.filename());
  }
  Outcome WindowAndRam(const std::string& start, const std::string& end) {
    return RunCommand(std::string(DP_WINDOW_AND_RAM) + " " +
                      path("run/VENDOR_EXAMPLE_NVME/settings.json") + " " + start + " " + end);
  }
  // As the kernel does when the window is there.
  void ShowRegion(std::uint32_t group, std::string_view region) {
    std::ofstream(sysfs_.path() + "/" + fakes::SysfsTree::GroupDirectory(group) +
                  "/reserved_regions")
        << region << " msi\n";
  }
  Outcome WindowInForce(const std::string& resource = "VENDOR_EXAMPLE_NVME") {
    return RunCommand("VFIO_DOORBELL_FOLDER=" + path("run") + " SYSFS=" + sysfs_.path() + " " +
                      "docs/examples/window-in-force " + resource);
  }
};

TEST_F(ExamplesTest, TellWhatIsReserved) {
  AddDevice("0000:01:00.0", 11);
  AddDevice("0000:02:00.0", 12);
  StartAndList(2);
  v1beta1::ContainerAllocateResponse response;
  ASSERT_TRUE(kubelet_.Allocate(kResource, {"0000:01:00.0", "0000:02:00.0"}, &response).ok());
  Mount(response);

  Outcome outcome = WindowAndRam("0x40000000", "0x80000000");
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("does not meet"));
  outcome = WindowAndRam("0x09000000", "0x09100001");
  EXPECT_EQ(outcome.status, 1) << outcome.output;
  EXPECT_EQ(WindowAndRam("0x09000000", "0x09100000").status, 0) << "up to its first byte";
  EXPECT_EQ(WindowAndRam("everything", "0").status, 2);

  for (const std::uint32_t group : {11U, 12U})
    ShowRegion(group, "0x0000000009100000 0x00000000091fffff");
  outcome = WindowInForce();
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.output,
            "group 11: 0x09100000 0x00100000 is in force\n"
            "group 12: 0x09100000 0x00100000 is in force\n");
  ShowRegion(12, "0x0000000008000000 0x00000000080fffff");
  outcome = WindowInForce();
  EXPECT_EQ(outcome.status, 1) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("group 12: 0x09100000 0x00100000 is not in force"));
  EXPECT_EQ(WindowInForce("NO_SUCH").status, 2);
}

TEST_F(ExamplesTest, TellThatThereIsNoWindow) {
  sysfs_.AddPciFunction({.address = "0000:01:00.0", .group = 11});
  AddNode("11");
  sysfs_.SetMsiWindow(11, "none");
  StartAndList(1);
  v1beta1::ContainerAllocateResponse response;
  ASSERT_TRUE(kubelet_.Allocate(kResource, {"0000:01:00.0"}, &response).ok());
  Mount(response);
  const Outcome in_force = WindowInForce();
  EXPECT_EQ(in_force.status, 0) << in_force.output;
  EXPECT_THAT(in_force.output, HasSubstr("no window"));
  EXPECT_EQ(WindowAndRam("0x0", "0xffffffffffffffff").status, 0);
}

}  // namespace
}  // namespace dp::integration
