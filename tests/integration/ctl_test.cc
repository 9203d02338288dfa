// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/fake_admin_server.h"
#include "tests/fakes/sysfs_tree.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/integration/daemon.h"

// doorbellctl as a person sees it: the real binary, a fake daemon, a fake sysfs.

namespace dp::integration {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
namespace admin = vfio_doorbell::admin::v1;

class CtlTest : public ::testing::Test {
 protected:
  CtlTest() {
    sysfs_.AddPciFunction({.address = "0000:01:00.0", .group = 7});
    sysfs_.SetMsiWindow(7, "0x09200000 0x00100000");
  }

  // The exit code; what was written is in `output_` and `errors_`.
  int Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--socket", socket(), "--sysfs-root", sysfs_.path(),
                                       "--data-dir", path(""), "--config", path("config.yaml")});
    return RunAlone(std::move(arguments));
  }
  int RunAlone(std::vector<std::string> arguments) {
    // Another build, to be measured.
    const char* other = std::getenv("DOORBELLCTL");
    Daemon program(std::move(arguments), root_.path(), {}, other == nullptr ? DP_CTL : other);
    const int code = program.Wait();
    output_ = program.output();
    errors_ = program.log();
    return code;
  }

  void StartDaemon() {
    server_ = std::make_unique<fakes::FakeAdminServer>(socket());
    server_->Start();
    admin::NodeState state;
    state.mutable_daemon()->set_version("0.1.0");
    state.mutable_pool()->set_start(0x09100000);
    state.mutable_pool()->set_end(0x10000000);
    state.mutable_pool()->set_window_size(0x100000);
    admin::Device& device = *state.add_devices();
    device.set_id("0000:01:00.0");
    device.set_group(7);
    device.set_state(admin::DEVICE_STARTED);
    device.mutable_window()->set_base(0x09100000);
    device.mutable_window()->set_size(0x100000);
    device.mutable_pod()->set_namespace_("default");
    device.mutable_pod()->set_name("vm-a");
    server_->SetState(std::move(state));
  }

  [[nodiscard]] std::string path(const std::string& name) const {
    return root_.path() + "/" + name;
  }
  [[nodiscard]] std::string socket() const { return path("admin.sock"); }

  fakes::TemporaryFolder root_;
  fakes::SysfsTree sysfs_;
  std::unique_ptr<fakes::FakeAdminServer> server_;
  std::string output_;
  std::string errors_;
};

TEST_F(CtlTest, ListsWhatDaemonAndKernelSay) {
  StartDaemon();
  EXPECT_EQ(Run({"list"}), 0) << errors_;
  EXPECT_THAT(output_, HasSubstr("0x09100000+0x100000  0x09200000+0x100000 differs  default/vm-a"));
  EXPECT_THAT(output_, Not(HasSubstr("\x1b")));
  EXPECT_THAT(errors_, IsEmpty());
  EXPECT_EQ(Run({"describe", "default/vm-a"}), 0);
  EXPECT_EQ(Run({"describe", "8"}), 1);
  EXPECT_EQ(Run({"whois", "0x9100040"}), 0);
  EXPECT_THAT(output_, HasSubstr("pod default/vm-a"));
  EXPECT_EQ(Run({"whois", "0x8000040"}), 1);
}

TEST_F(CtlTest, SaysWhenTheDaemonDoesNotAnswer) {
  EXPECT_EQ(Run({"list"}), 0);
  EXPECT_THAT(errors_, HasSubstr("doorbellctl: the daemon does not answer"));
  EXPECT_THAT(output_, HasSubstr("LEFT OVER"));
  std::filesystem::remove_all(sysfs_.path() + "/kernel");
  EXPECT_EQ(Run({"list"}), 3);
}

TEST_F(CtlTest, ComesBackFromACapture) {
  StartDaemon();
  ASSERT_EQ(Run({"list", "-o", "json"}), 0);
  const std::string live = output_;
  ASSERT_EQ(Run({"capture", "-o", path("archive")}), 0) << errors_;
  EXPECT_EQ(Run({"capture", "-o", path("archive")}), 2) << "it is there already";
  server_.reset();
  EXPECT_EQ(RunAlone({"--root", path("archive"), "list", "-o", "json"}), 0) << errors_;
  EXPECT_EQ(output_, live);
  EXPECT_EQ(RunAlone({"--root", path("archive"), "describe", "7"}), 0) << errors_;
  EXPECT_EQ(RunAlone({"--root", path("archive"), "diag"}), 1);
  EXPECT_THAT(output_, HasSubstr("the kernel has 0x09200000+0x100000 for 0000:01:00.0"));
  EXPECT_EQ(RunAlone({"--root", path("archive"), "release", "0x09100000", "--yes"}), 2);
}

TEST_F(CtlTest, ReleasesOnlyWhenItIsTold) {
  StartDaemon();
  EXPECT_EQ(Run({"release", "0x09100000"}), 2);
  EXPECT_THAT(server_->released(), IsEmpty());
  server_->SetRelease({grpc::StatusCode::FAILED_PRECONDITION, "default/vm-a has it"}, {});
  EXPECT_EQ(Run({"release", "0x09100000", "--yes"}), 1);
  EXPECT_THAT(errors_, HasSubstr("default/vm-a has it"));
}

TEST_F(CtlTest, ExplainsAgainstThePoolOfTheDaemon) {
  StartDaemon();
  const std::string manifest = "manifests/examples/vm-one-device.yaml";
  EXPECT_EQ(RunAlone({"explain", "-f", manifest, "--daemon", "--socket", socket()}), 0) << errors_;
  EXPECT_THAT(output_, HasSubstr("111 windows of the pool of the daemon"));
  EXPECT_EQ(RunAlone({"explain", "-f", path("missing")}), 2);
}

// Prints how long that takes, from fork(2) to the end: docs/doorbellctl.md.
TEST_F(CtlTest, Lists256Devices) {
  constexpr int kDevices = 256;
  sysfs_.Remove("kernel/iommu_groups/7");
  sysfs_.AddManyGroups(kDevices);
  server_ = std::make_unique<fakes::FakeAdminServer>(socket());
  server_->Start();
  admin::NodeState state;
  state.mutable_daemon()->set_version("0.1.0");
  for (int i = 0; i < kDevices; ++i) {
    admin::Device& device = *state.add_devices();
    device.set_id(fmt::format("0000:{:02x}:{:02x}.0", i / 32, i % 32));
    device.set_resource("vendor.example/nvme");
    device.set_group(static_cast<std::uint32_t>(i));
    device.mutable_pod()->set_namespace_("default");
    device.mutable_pod()->set_name(fmt::format("vm-{}", i));
  }
  server_->SetState(std::move(state));
  std::vector<double> milliseconds;
  for (int run = 0; run < 15; ++run) {
    const auto start = std::chrono::steady_clock::now();
    ASSERT_EQ(Run({"list"}), 0) << errors_;
    milliseconds.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
  }
  EXPECT_EQ(std::count(output_.begin(), output_.end(), '\n'), kDevices + 1);
  std::sort(milliseconds.begin(), milliseconds.end());
  fmt::print("list of {} devices: median {:.1f} ms, least {:.1f} ms, most {:.1f} ms\n", kDevices,
             milliseconds[milliseconds.size() / 2], milliseconds.front(), milliseconds.back());
}

}  // namespace
}  // namespace dp::integration
