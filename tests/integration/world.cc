// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/world.h"

#include <fmt/format.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace dp::integration {

World::World(const std::string& parent, fakes::FakeKubelet::Release release)
    : root_(parent), kubelet_(path("plugins"), release) {
  std::filesystem::create_directories(path("plugins"));
  std::filesystem::create_directories(path("dev/vfio/devices"));
  AddNode("vfio");
  WriteConfig(R"(
resources:
  - name: vendor.example/nvme
    selectors:
      - {vendor: "1b36"}
)");
}

void World::WriteConfig(std::string_view lines) {
  std::ofstream(path("config.yaml")) << "version: v1" << lines;
}

void World::AddNode(const std::string& name) const {
  std::ofstream(path("dev/vfio/" + name)).flush();
}

void World::AddDevice(const std::string& address, std::uint32_t group) {
  sysfs_.AddPciFunction({.address = address, .group = group});
  AddNode(std::to_string(group));
  sysfs_.SetMsiWindow(group, "0x08000000 0x00100000");
}

std::string World::WindowFile(std::uint32_t group) const {
  return sysfs_.path() + "/" + fakes::SysfsTree::GroupDirectory(group) + "/msi_window";
}

std::string World::WindowOf(std::uint32_t group) const {
  std::string text = ReadAll(WindowFile(group));
  return text.substr(0, text.find('\n'));
}

std::vector<std::string> World::Locations() const {
  return {"--config",        path("config.yaml"), "--kubelet-dir",
          path("plugins"),   "--sysfs-root",      sysfs_.path(),
          "--dev-root",      path("dev"),         "--state-dir",
          path("state"),     "--cdi-dir",         path("cdi"),
          "--data-dir",      path("data"),        "--pod-resources-socket",
          path("pods.sock"), "--admin-socket",    path("admin.sock")};
}

void World::Start(std::vector<std::string> more) {
  std::vector<std::string> arguments = Locations();
  arguments.insert(arguments.end(), more.begin(), more.end());
  daemon_.reset();
  daemon_ = std::make_unique<Daemon>(std::move(arguments), root_.path());
}

void World::StartAndList(std::size_t devices) {
  kubelet_.Start();
  Start();
  ASSERT_EQ(kubelet_.WaitForDevices(kResource, devices), absl::OkStatus()) << daemon_->log();
}

void World::Stop() {
  daemon_->Signal(SIGTERM);
  ASSERT_EQ(daemon_->Wait(), 0) << daemon_->log();
}

std::string World::ReadAll(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace dp::integration
