// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/integration/world.h"

// Binding by the real binary. The files of the fake sysfs bind nothing, which is what a kernel does
// whose vfio-pci takes no such device; one that does is in tests/e2e/binding_test.py.

namespace dp::integration {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kDevice[] = "0000:01:00.0";

class BindingTest : public World {
 protected:
  BindingTest() {
    sysfs_.AddPciFunction({.address = kDevice, .group = 11, .driver = "nvme"});
    sysfs_.AddFile(Function() + "/driver_override", "(null)\n");
    for (const char* driver : {"nvme", "vfio-pci"})
      sysfs_.AddFile(fmt::format("bus/pci/drivers/{}/unbind", driver), "");
    sysfs_.AddFile("bus/pci/drivers_probe", "");
    sysfs_.AddDirectory("class/block");
    WriteConfig(R"(
resources:
  - name: vendor.example/nvme
    selectors:
      - {vendor: "1b36", bind: true}
)");
  }
  static std::string Function() { return fakes::SysfsTree::PciDirectory(kDevice); }
  [[nodiscard]] std::string InSysfs(const std::string& name) const {
    return ReadAll(sysfs_.path() + "/" + name);
  }
};

TEST_F(BindingTest, WritesWhatBindsAndPutsItBackWhenTheDeviceIsNotTaken) {
  StartAndList(1);
  ASSERT_TRUE(daemon_->WaitForLog("driver not bound")) << daemon_->log();
  EXPECT_THAT(daemon_->log(), AllOf(HasSubstr("vfio-pci does not take 0000:01:00.0"),
                                    HasSubstr("all is as it was before")));
  EXPECT_EQ(InSysfs("bus/pci/drivers/nvme/unbind"), "0000:01:00.0\n");
  EXPECT_EQ(InSysfs("bus/pci/drivers_probe"), "0000:01:00.0\n");
  EXPECT_EQ(InSysfs(Function() + "/driver_override"), "\n");
  EXPECT_THAT(ReadAll(path("data/drivers.json")), HasSubstr("\"functions\": []"));
  EXPECT_EQ(kubelet_.Get(kResource).devices.at(kDevice).health(), "Unhealthy");
  Stop();
}

TEST_F(BindingTest, TouchesNothingThatIsInUse) {
  const std::string disk = Function() + "/nvme/nvme0/nvme0n1";
  sysfs_.AddFile(disk + "/dev", "259:0\n");
  sysfs_.AddLink("class/block/nvme0n1", "../../" + disk);
  StartAndList(1);
  ASSERT_TRUE(daemon_->WaitForLog("driver not bound")) << daemon_->log();
  EXPECT_THAT(daemon_->log(), HasSubstr("nvme0n1, of which nobody can tell whether it is in use"));
  EXPECT_EQ(InSysfs(Function() + "/driver_override"), "(null)\n");
  EXPECT_EQ(InSysfs("bus/pci/drivers/nvme/unbind"), "");
  Stop();
}

TEST_F(BindingTest, NamesTheModuleThatIsNotLoaded) {
  sysfs_.Remove("bus/pci/drivers/vfio-pci");
  StartAndList(1);
  ASSERT_TRUE(daemon_->WaitForLog("driver not bound")) << daemon_->log();
  EXPECT_THAT(daemon_->log(), HasSubstr("load the module vfio-pci"));
  Stop();
}

TEST_F(BindingTest, CheckingTheConfigurationTouchesNothing) {
  Start({"--check-config"});
  ASSERT_EQ(daemon_->Wait(), 0) << daemon_->log();
  EXPECT_EQ(InSysfs(Function() + "/driver_override"), "(null)\n");
}

// As after a kill, with the device on vfio-pci and the record of where it was.
TEST_F(BindingTest, ReleaseGivesDriversBack) {
  sysfs_.AddPciFunction({.address = kDevice, .group = 11, .driver = "vfio-pci"});
  sysfs_.AddFile(Function() + "/driver_override", "vfio-pci\n");
  std::ofstream(path("dev/vfio/11")).flush();
  std::filesystem::create_directory(path("data"));
  std::string boot_id = ReadAll("/proc/sys/kernel/random/boot_id");
  boot_id.pop_back();
  std::ofstream(path("data/drivers.json")) << fmt::format(
      R"({{"apiVersion": "vfio-doorbell/drivers/v1", "bootId": "{}", "functions":
          [{{"address": "{}", "driver": "", "driverOverride": ""}}]}})",
      boot_id, kDevice);
  Start({"--release"});
  ASSERT_EQ(daemon_->Wait(), 0) << daemon_->log();
  EXPECT_THAT(daemon_->output(), HasSubstr("released 0000:01:00.0 to no driver"));
  EXPECT_EQ(InSysfs(Function() + "/driver_override"), "\n");
  EXPECT_EQ(InSysfs("bus/pci/drivers/vfio-pci/unbind"), "0000:01:00.0\n");
  EXPECT_THAT(ReadAll(path("data/drivers.json")), HasSubstr("\"functions\": []"));
}

}  // namespace
}  // namespace dp::integration
