// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/capture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "plugin/core/offers.h"
#include "plugin/ctl/host.h"
#include "plugin/ctl/unpack.h"
#include "tests/fakes/fake_admin_server.h"
#include "tests/fakes/sysfs_tree.h"
#include "tests/fakes/temporary_folder.h"

namespace dp::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CaptureTest : public testing::Test {
 protected:
  std::string Take(const std::string& sysfs_root) const {
    ArchiveWriter archive;
    const auto root = sysfs::SysfsRoot::Open(sysfs_root);
    EXPECT_TRUE(root.ok());
    CaptureSysfs(*root, archive);
    return archive.Finish();
  }
  std::string Save(const std::string& text) const {
    std::ofstream(folder_.path() + "/archive") << text;
    return folder_.path() + "/archive";
  }

  fakes::TemporaryFolder folder_;
  fakes::SysfsTree sysfs_;
};

void ExpectSame(const core::Inventory& one, const core::Inventory& other) {
  ASSERT_EQ(one.groups.size(), other.groups.size());
  for (std::size_t i = 0; i < one.groups.size(); ++i) {
    const core::Group& a = one.groups[i];
    const core::Group& b = other.groups[i];
    EXPECT_EQ(a.number, b.number);
    EXPECT_EQ(a.window, b.window);
    EXPECT_EQ(a.knob, b.knob);
    ASSERT_EQ(a.functions.size(), b.functions.size());
    for (std::size_t j = 0; j < a.functions.size(); ++j) {
      EXPECT_EQ(a.functions[j].name, b.functions[j].name);
      EXPECT_EQ(a.functions[j].driver, b.functions[j].driver);
      EXPECT_EQ(a.functions[j].cdev, b.functions[j].cdev);
      EXPECT_EQ(a.functions[j].numa_node, b.functions[j].numa_node);
    }
  }
}

// Each machine that is known, as it is and as it comes out of an archive.
TEST_F(CaptureTest, KeepsWhatIsReadOfEachMachine) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/testdata/sysfs")) {
    if (entry.path().extension() != ".ttar") continue;
    ++count;
    fakes::SysfsTree machine;
    machine.AddArchive(entry.path().string());
    const auto unpacked = Unpacked::Create(Save(Take(machine.path())));
    ASSERT_TRUE(unpacked.ok()) << unpacked.status();
    const auto before = ReadInventory(machine.path());
    const auto after = ReadInventory((*unpacked)->path());
    ASSERT_TRUE(before.ok() && after.ok()) << after.status();
    ExpectSame(*before, *after);
  }
  EXPECT_GE(count, 6);
}

TEST_F(CaptureTest, IsACaseForTests) {
  sysfs_.AddManyGroups(3);
  fakes::SysfsTree again;
  again.AddArchive(Save(Take(sysfs_.path())));
  EXPECT_EQ(Take(again.path()), Take(sysfs_.path()));
}

TEST_F(CaptureTest, TakesNoSerialNumbers) {
  sysfs_.AddPciFunction({.address = "0000:01:00.0", .group = 7});
  sysfs_.AddFile(fakes::SysfsTree::PciDirectory("0000:01:00.0") + "/uevent",
                 "DRIVER=nvme\nSERIAL=secret\nPCI_ID=1B36:0010\n");
  sysfs_.AddFile(fakes::SysfsTree::PciDirectory("0000:01:00.0") + "/serial", "secret\n");
  const std::string text = Take(sysfs_.path());
  EXPECT_THAT(text, HasSubstr("DRIVER=nvme\n"));
  EXPECT_THAT(text, Not(HasSubstr("secret")));
}

TEST_F(CaptureTest, StaysInsideOfAHostileTree) {
  std::ofstream(folder_.path() + "/secret") << "secret\n";
  sysfs_.AddPciFunction({.address = "0000:01:00.0", .group = 7});
  const std::string group = fakes::SysfsTree::GroupDirectory(7);
  // Links out of it, loops, what is no text, what is cut off, and a gigabyte.
  sysfs_.AddLink(group + "/type", folder_.path() + "/secret");
  sysfs_.AddLink(group + "/devices/0000:02:00.0", "/etc");
  sysfs_.AddLink(group + "/devices/0000:03:00.0", "../../../../../../../../etc");
  sysfs_.AddLink(group + "/devices/0000:04:00.0", "0000:04:00.0");
  sysfs_.AddFile(group + "/msi_window", "cut off");
  const std::string device = fakes::SysfsTree::PciDirectory("0000:01:00.0");
  sysfs_.AddFile(device + "/vendor", std::string("\0\n", 2));
  sysfs_.AddFifo(device + "/class");
  sysfs_.AddFile(device + "/device", "x\n");
  std::filesystem::resize_file(sysfs_.path() + "/" + device + "/device", 1 << 30);
  const std::string text = Take(sysfs_.path());
  EXPECT_THAT(text, Not(HasSubstr("secret\n")));
  EXPECT_LT(text.size(), 10000U);
  EXPECT_THAT(text, HasSubstr("# left out: " + group + "/type: "));
  EXPECT_THAT(text,
              HasSubstr("# left out: " + group + "/devices/0000:02:00.0: leads out of sysfs"));
  EXPECT_THAT(text,
              HasSubstr("# left out: " + group + "/devices/0000:03:00.0: leads out of sysfs"));
  EXPECT_THAT(text, HasSubstr("# left out: " + group + "/msi_window: has no newline at its end"));
  EXPECT_THAT(text, HasSubstr("# left out: " + device + "/vendor: is no text"));
  EXPECT_THAT(text, HasSubstr("# left out: " + device + "/device: has more than 65536 bytes"));
}

TEST_F(CaptureTest, TakesABoundedNumberOfEntries) {
  sysfs_.AddPciFunction({.address = "0000:01:00.0", .group = 7});
  for (int i = 0; i < 70000; ++i)
    std::filesystem::create_symlink(
        "x", sysfs_.path() + "/kernel/iommu_groups/7/devices/" + std::to_string(i));
  const std::string text = Take(sysfs_.path());
  EXPECT_THAT(text, HasSubstr("/devices: has more than 65536 entries"));
}

TEST_F(CaptureTest, ComesBackAsAHost) {
  sysfs_.AddPciFunction({.address = "0000:01:00.0", .group = 7});
  sysfs_.SetMsiWindow(7, "0x09100000 0x00100000");
  Places places;
  places.socket = folder_.path() + "/admin.sock";
  places.sysfs_root = sysfs_.path();
  places.data_dir = folder_.path();
  places.config = folder_.path() + "/config.yaml";
  std::ofstream(places.config)
      << "version: v1\nresources: [{name: vendor.example/nvme, selectors: [{vendor: \"1b36\"}]}]\n";
  fakes::FakeAdminServer server(places.socket);
  server.Start();
  vfio_doorbell::admin::v1::NodeState state;
  state.mutable_daemon()->set_version("0.1.0");
  state.mutable_pool()->set_window_size(0x100000);
  state.add_devices()->set_id("0000:01:00.0");
  server.SetState(std::move(state));

  const auto unpacked = Unpacked::Create(Save(Capture(places).Finish()));
  ASSERT_TRUE(unpacked.ok()) << unpacked.status();
  const Places archived = PlacesIn((*unpacked)->path());
  EXPECT_EQ(ReadHost(archived)->node, ReadHost(places)->node);
  const Evidence evidence = ReadEvidence(archived);
  EXPECT_EQ(evidence.facts, ReadFacts(places));
  EXPECT_TRUE(evidence.config.ok()) << evidence.config.status();
  EXPECT_TRUE(evidence.daemon.ok()) << evidence.daemon;
}

TEST_F(CaptureTest, UnpacksNothingOutsideOfItsFolder) {
  std::filesystem::create_directory(folder_.path() + "/victim");
  for (const std::string& archive :
       {"Path: a\nSymlinkTo: " + folder_.path() + "/victim\nPath: a/b\nLines: 0\n",
        "Path: a\nSymlinkTo: ../../../../../../.." + folder_.path() + "/victim\nDirectory: a/b\n",
        std::string("Path: ../b\nLines: 0\n"),
        "Path: vfio-doorbell/config.yaml\nSymlinkTo: " + folder_.path() + "/secret\n",
        std::string("Path: vfio-doorbell\nSymlinkTo: /etc\n"),
        std::string("Path: a\nLines: 0\nPath: a\nLines: 1\nx\n")}) {
    const std::string path = Save(archive);
    const auto unpacked = Unpacked::Create(path);
    EXPECT_EQ(unpacked.status().code(), absl::StatusCode::kInvalidArgument) << archive;
    EXPECT_THAT(std::string(unpacked.status().message()), HasSubstr(path)) << archive;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path() + "/victim"));
}

}  // namespace
}  // namespace dp::ctl
