// SPDX-License-Identifier: Apache-2.0
#include "plugin/sysfs/pci_driver_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/sysfs_tree.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::sysfs {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kDisk[] = "0000:01:00.0";
constexpr char kNic[] = "0000:02:00.0";

class PciDriverFilesTest : public testing::Test {
 protected:
  PciDriverFilesTest() {
    tree_.AddPciFunction({.address = kDisk, .group = 1, .driver = "nvme"});
    tree_.AddPciFunction({.address = kNic, .group = 2, .driver = "ice", .class_code = 0x020000});
    for (const char* address : {kDisk, kNic})
      tree_.AddFile(At(address, "driver_override"), "(null)\n");
    AddInterface(kNic, "net/eth0", "0x1002");
    for (const char* driver : {"nvme", "vfio-pci"})
      tree_.AddFile(fmt::format("bus/pci/drivers/{}/unbind", driver), "");
    tree_.AddFile("bus/pci/drivers_probe", "");
    // A disk of another function.
    AddBlock("sda", "devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda",
             "8:0");
  }

  static std::string At(const std::string& address, const std::string& name) {
    return fakes::SysfsTree::PciDirectory(address) + "/" + name;
  }
  void AddBlock(const std::string& name, const std::string& directory, const std::string& number) {
    tree_.AddFile(directory + "/dev", number + "\n");
    tree_.AddDirectory(directory + "/holders");
    tree_.AddLink("class/block/" + name, "../../" + directory);
  }
  // As a kernel shows an NVMe disk, with a partition.
  void AddNvme() {
    AddBlock("nvme0n1", At(kDisk, "nvme/nvme0/nvme0n1"), "259:0");
    AddBlock("nvme0n1p1", At(kDisk, "nvme/nvme0/nvme0n1/nvme0n1p1"), "259:1");
    tree_.AddFile(At(kDisk, "nvme/nvme0/nvme0n1/nvme0n1p1/partition"), "1\n");
  }
  void AddInterface(const std::string& address, const std::string& path, const std::string& flags) {
    tree_.AddFile(At(address, path + "/flags"), flags + "\n");
  }

  PciDriverFiles Drivers(std::string root_argument = "") {
    return PciDriverFiles(
        *root_, {.dev_root = dev_.path(), .root_argument = std::move(root_argument)},
        [this](const std::string& path, os::DeviceNumber number) -> absl::StatusOr<base::UniqueFd> {
          const std::string name = path.substr(dev_.path().size() + 1);
          claimed_.push_back(fmt::format("{} {}:{}", name, number.major, number.minor));
          const auto answer = claims_.find(name);
          if (answer != claims_.end()) return answer->second;
          return base::UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        });
  }
  // Why the function is refused; empty: it is not.
  std::string Refusal(const std::string& address, std::string root_argument = "") {
    PciDriverFiles drivers = Drivers(std::move(root_argument));
    const auto claim = drivers.ClaimFromHost(address);
    if (claim.ok()) return {};
    EXPECT_TRUE(absl::IsFailedPrecondition(claim.status())) << claim.status();
    return std::string(claim.status().message());
  }
  [[nodiscard]] std::string Content(const std::string& path) const {
    std::ifstream in(tree_.path() + "/" + path);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  fakes::SysfsTree tree_;
  fakes::TemporaryFolder dev_;
  absl::StatusOr<SysfsRoot> root_ = SysfsRoot::Open(tree_.path());
  std::map<std::string, absl::Status> claims_;  // below /dev: what a claim is answered with
  std::vector<std::string> claimed_;
};

// --- disks

TEST_F(PciDriverFilesTest, ClaimsTheWholeDisksBelowTheFunctionAndNoOthers) {
  AddNvme();
  EXPECT_EQ(Refusal(kDisk), "");
  EXPECT_THAT(claimed_, ElementsAre("nvme0n1 259:0"));
}

TEST_F(PciDriverFilesTest, RefusesADiskThatTheKernelDoesNotGive) {
  AddNvme();
  claims_["nvme0n1"] = absl::UnavailableError("busy");
  EXPECT_THAT(Refusal(kDisk), AllOf(HasSubstr("0000:01:00.0 has the disk nvme0n1, which is in use"),
                                    HasSubstr("free it, or leave it out")));
}

TEST_F(PciDriverFilesTest, SaysWhatIsMadeOfTheDisk) {
  AddNvme();
  tree_.AddLink(At(kDisk, "nvme/nvme0/nvme0n1/holders/dm-3"), "/nowhere");
  claims_["nvme0n1"] = absl::UnavailableError("busy");
  EXPECT_THAT(Refusal(kDisk), HasSubstr("nvme0n1, of which dm-3 is made"));
}

TEST_F(PciDriverFilesTest, RefusesADiskOfWhichItCannotTell) {
  AddNvme();
  claims_["nvme0n1"] = absl::PermissionDeniedError("cannot open /dev/nvme0n1");
  EXPECT_THAT(Refusal(kDisk),
              HasSubstr("nobody can tell whether it is in use: cannot open /dev/nvme0n1"));
}

TEST_F(PciDriverFilesTest, RefusesADiskWithoutANumber) {
  AddNvme();
  for (const char* number : {"259", "259:", ":0", "a:b", ""}) {
    tree_.AddFile(At(kDisk, "nvme/nvme0/nvme0n1/dev"), number);
    EXPECT_THAT(std::string(Drivers().ClaimFromHost(kDisk).status().message()),
                HasSubstr("nvme0n1/dev is not MAJOR:MINOR"))
        << number;
  }
  EXPECT_THAT(claimed_, IsEmpty());
}

TEST_F(PciDriverFilesTest, RefusesEverythingWhereNoBlockDevicesAreSeen) {
  tree_.Remove("class/block");
  EXPECT_FALSE(Drivers().ClaimFromHost(kDisk).ok());
}

TEST_F(PciDriverFilesTest, RefusesWhatTheHostWasBootedFrom) {
  AddNvme();
  EXPECT_THAT(Refusal(kDisk, "/dev/nvme0n1p1"), HasSubstr("has nvme0n1p1, from which the host"));
  EXPECT_EQ(Refusal(kDisk, "/dev/sda"), "");
}

TEST_F(PciDriverFilesTest, FindsDisksFarBelowAndWithSlashes) {
  AddBlock("cciss!c0d0", At(kDisk, "usb1/1-1/1-1:1.0/host1/target1:0:0/1:0:0:0/block/cciss!c0d0"),
           "104:0");
  claims_["cciss/c0d0"] = absl::UnavailableError("busy");
  EXPECT_THAT(Refusal(kDisk), HasSubstr("which is in use"));
}

// With several paths, the disk is not below the function: only a hidden one is.
TEST_F(PciDriverFilesTest, FindsTheNamespacesOfAnNvmeControllerWithSeveralPaths) {
  AddBlock("nvme0c0n1", At(kDisk, "nvme/nvme0/nvme0c0n1"), "259:7");
  tree_.AddFile(At(kDisk, "nvme/nvme0/nvme0c0n1/hidden"), "1\n");
  const std::string subsystem = "devices/virtual/nvme-subsystem/nvme-subsys0";
  AddBlock("nvme0n1", subsystem + "/nvme0n1", "259:8");
  tree_.AddLink("class/nvme-subsystem/nvme-subsys0", "../../" + subsystem);
  tree_.AddLink(subsystem + "/nvme0", "../../../../" + At(kDisk, "nvme/nvme0"));
  // Another one's.
  const std::string other = "devices/virtual/nvme-subsystem/nvme-subsys1";
  AddBlock("nvme1n1", other + "/nvme1n1", "259:9");
  tree_.AddLink("class/nvme-subsystem/nvme-subsys1", "../../" + other);
  EXPECT_EQ(Refusal(kDisk), "");
  EXPECT_THAT(claimed_, ElementsAre("nvme0n1 259:8"));
}

// --- network interfaces

TEST_F(PciDriverFilesTest, TakesANetworkControllerWhoseInterfaceIsDown) {
  EXPECT_EQ(Refusal(kNic), "");
}

TEST_F(PciDriverFilesTest, RefusesAnInterfaceThatIsUp) {
  AddInterface(kNic, "net/eth0", "0x1003");
  EXPECT_THAT(Refusal(kNic),
              AllOf(HasSubstr("interface eth0, which is up"), HasSubstr("ip link set eth0 down")));
}

TEST_F(PciDriverFilesTest, FindsInterfacesOfBusesBelow) {
  AddInterface(kDisk, "usb1/1-1/1-1.4/1-1.4:1.0/net/usb0", "0x1003");
  EXPECT_THAT(Refusal(kDisk), HasSubstr("interface usb0, which is up"));
}

TEST_F(PciDriverFilesTest, RefusesAnInterfaceOfWhichItCannotTell) {
  for (const char* flags : {"up", ""}) {
    AddInterface(kNic, "net/eth0", flags);
    EXPECT_THAT(Refusal(kNic), HasSubstr("eth0, of which nobody can tell whether it is up"));
  }
}

// The folder stays when a pod gets the interface.
TEST_F(PciDriverFilesTest, RefusesAnInterfaceInAnotherNamespace) {
  tree_.Remove(At(kNic, "net/eth0"));
  EXPECT_THAT(Refusal(kNic), HasSubstr("in another network namespace"));
}

TEST_F(PciDriverFilesTest, RefusesANetworkControllerWithoutAnyInterface) {
  tree_.Remove(At(kNic, "net"));
  EXPECT_THAT(Refusal(kNic), HasSubstr("is a network controller on driver ice without"));
  tree_.Remove(At(kNic, "driver"));
  tree_.AddPciFunction({.address = kNic, .group = 2, .driver = "", .class_code = 0x020000});
  EXPECT_EQ(Refusal(kNic), "");
}

// --- roles

TEST_F(PciDriverFilesTest, RefusesAFunctionWithVirtualFunctions) {
  tree_.AddFile(At(kNic, "sriov_numvfs"), "0\n");
  EXPECT_EQ(Refusal(kNic), "");
  tree_.AddFile(At(kNic, "sriov_numvfs"), "4\n");
  EXPECT_THAT(Refusal(kNic), HasSubstr("has 4 virtual functions"));
}

TEST_F(PciDriverFilesTest, RefusesTheBootConsole) {
  tree_.AddFile(At(kDisk, "boot_vga"), "0\n");
  EXPECT_EQ(Refusal(kDisk), "");
  tree_.AddFile(At(kDisk, "boot_vga"), "1\n");
  EXPECT_THAT(Refusal(kDisk), HasSubstr("boot_vga"));
}

// --- binding

TEST_F(PciDriverFilesTest, ReadsDriverAndOverride) {
  PciDriverFiles drivers = Drivers();
  EXPECT_EQ(*drivers.Read(kDisk),
            (core::DriverState{.address = kDisk, .driver = "nvme", .driver_override = ""}));
  tree_.AddFile(At(kDisk, "driver_override"), "vfio-pci\n");
  EXPECT_EQ(drivers.Read(kDisk)->driver_override, "vfio-pci");
  EXPECT_TRUE(absl::IsNotFound(drivers.Read("0000:09:00.0").status()));
}

TEST_F(PciDriverFilesTest, WritesWhatTheKernelDocuments) {
  PciDriverFiles drivers = Drivers();
  ASSERT_EQ(drivers.SetOverride(kDisk, "vfio-pci"), absl::OkStatus());
  EXPECT_EQ(Content(At(kDisk, "driver_override")), "vfio-pci\n");
  ASSERT_EQ(drivers.SetOverride(kDisk, ""), absl::OkStatus());
  EXPECT_EQ(Content(At(kDisk, "driver_override")), "\n");
  ASSERT_EQ(drivers.Unbind(kDisk, "nvme"), absl::OkStatus());
  EXPECT_EQ(Content("bus/pci/drivers/nvme/unbind"), "0000:01:00.0\n");
  ASSERT_EQ(drivers.Probe(kDisk), absl::OkStatus());
  EXPECT_EQ(Content("bus/pci/drivers_probe"), "0000:01:00.0\n");
}

TEST_F(PciDriverFilesTest, NamesWhatCannotBeWritten) {
  PciDriverFiles drivers = Drivers();
  const absl::Status unbind = drivers.Unbind(kDisk, "ahci");
  EXPECT_TRUE(absl::IsNotFound(unbind)) << unbind;
  EXPECT_THAT(std::string(unbind.message()),
              HasSubstr(tree_.path() + "/bus/pci/drivers/ahci/unbind"));
  EXPECT_THAT(std::string(drivers.FindDriver("xen-pciback").message()),
              AllOf(HasSubstr("/bus/pci/drivers/xen-pciback"), HasSubstr("load the module")));
  EXPECT_EQ(drivers.FindDriver("vfio-pci"), absl::OkStatus());
}

TEST_F(PciDriverFilesTest, AGroupThatNobodyCanTellOfIsNotClaimed) {
  PciDriverFiles drivers = Drivers();
  EXPECT_TRUE(absl::IsFailedPrecondition(drivers.ClaimFromVmm(7).status()));
  std::filesystem::create_directory(dev_.path() + "/vfio");
  std::ofstream(dev_.path() + "/vfio/vfio").flush();
  EXPECT_TRUE(absl::IsNotFound(drivers.ClaimFromVmm(7).status()));
  std::ofstream(dev_.path() + "/vfio/7").flush();
  EXPECT_TRUE(drivers.ClaimFromVmm(7).ok());
}

TEST(RootArgumentTest, IsTheLastOfTheCommandLine) {
  EXPECT_EQ(RootArgument("quiet root=/dev/vda1 rw\n"), "/dev/vda1");
  EXPECT_EQ(RootArgument("root=/dev/vda1 root=/dev/sda2\n"), "/dev/sda2");
  EXPECT_EQ(RootArgument("noroot=/dev/vda1 quiet\n"), "");
  EXPECT_EQ(RootArgument("root="), "");
  EXPECT_EQ(RootArgument(""), "");
}

}  // namespace
}  // namespace dp::sysfs
