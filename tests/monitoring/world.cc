// SPDX-License-Identifier: Apache-2.0
// Plays what is around a daemon, for tests/monitoring: a kubelet and its pods, and a sysfs with
// devices. It does what it is told, one command on each line of standard input, and answers each
// with a line: "ok", or what went wrong.
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "api/admin/v1/api.pb.h"
#include "plugin/base/parse.h"
#include "tests/fakes/fake_admin_server.h"
#include "tests/fakes/fake_kubelet.h"
#include "tests/fakes/fake_pod_resources.h"
#include "tests/fakes/msi_window_kernel.h"
#include "tests/fakes/sysfs_tree.h"

namespace dp::monitoring {
namespace {

constexpr std::uint32_t kFirstGroup = 10;
constexpr std::uint32_t kDevicesOfABus = 32;

class World {
 public:
  // `folder` is there. `devices` functions on vfio-pci, each alone in its group.
  World(const std::string& folder, std::uint32_t devices)
      : devices_(devices), kubelet_(Made(folder + "/plugins")), pods_(folder + "/pods.sock") {
    const std::string nodes = Made(folder + "/dev/vfio");
    std::ofstream(nodes + "/vfio").flush();
    for (std::uint32_t i = 0; i < devices; ++i) {
      sysfs_.AddPciFunction({.address = AddressOf(i), .group = kFirstGroup + i});
      std::ofstream(fmt::format("{}/{}", nodes, kFirstGroup + i)).flush();
    }
    SwitchKnobs(true);
  }

  [[nodiscard]] const std::string& sysfs() const { return sysfs_.path(); }

  std::string Do(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    std::string first;
    std::string second;
    words >> command >> first >> second;
    if (command == "kubelet")
      return Switch(
          first, [&] { kubelet_.Start(); }, [&] { kubelet_.Stop(); });
    if (command == "pods")
      return Switch(
          first, [&] { pods_.Start(); }, [&] { pods_.Stop(); });
    if (command == "wait") return Say(kubelet_.WaitForAllocatable(first, std::stoul(second)));
    if (command == "allocate") return Allocate(first, second);
    if (command == "start") return Say(kubelet_.PreStartContainer(first, {second}));
    if (command == "end") return End(first);
    if (command == "driver") return SetDriver(first, second);
    if (command == "sibling") return AddSibling(first, second);
    if (command == "alone") return RemoveSibling(first);
    if (command == "knobs") return SwitchKnobs(first == "present");
    if (command == "slow") return SlowDown(std::chrono::milliseconds(std::stoul(first)));
    if (command == "daemon") return StartDaemon(first, second);
    return "no such command: " + line;
  }

 private:
  static std::string Made(const std::string& folder) {
    std::filesystem::create_directories(folder);
    return folder;
  }
  static std::string AddressOf(std::uint32_t number) {
    return fmt::format("0000:{:02x}:{:02x}.0", 1 + number / kDevicesOfABus,
                       number % kDevicesOfABus);
  }
  static std::uint32_t NumberOf(const std::string& address) {
    const auto bus = base::ParseHex<std::uint32_t>(address.substr(5, 2)).value();
    return (bus - 1) * kDevicesOfABus + base::ParseHex<std::uint32_t>(address.substr(8, 2)).value();
  }
  static std::string Say(const absl::Status& status) {
    return status.ok() ? "ok" : std::string(status.message());
  }
  static std::string Say(const grpc::Status& status) {
    return status.ok() ? "ok" : status.error_message();
  }
  static std::string Switch(const std::string& state, const std::function<void()>& start,
                            const std::function<void()>& stop) {
    (state == "start" ? start : stop)();
    return "ok";
  }

  // To a pod of its own.
  std::string Allocate(const std::string& resource, const std::string& device) {
    const grpc::Status status = kubelet_.Allocate(resource, {device}, nullptr);
    if (!status.ok()) return status.error_message();
    given_[device] = {.pod = {.space = "default", .name = "vm-" + std::to_string(NumberOf(device))},
                      .container = "compute",
                      .resource = resource,
                      .devices = {device}};
    return ListPods();
  }
  std::string End(const std::string& device) {
    given_.erase(device);
    return ListPods();
  }
  std::string ListPods() {
    std::vector<core::PodDevices> list;
    list.reserve(given_.size());
    for (const auto& [device, pod] : given_) list.push_back(pod);
    pods_.SetPods(list);
    return "ok";
  }

  std::string SetDriver(const std::string& device, const std::string& driver) {
    sysfs_.AddPciFunction({.address = device,
                           .group = kFirstGroup + NumberOf(device),
                           .driver = driver == "none" ? "" : driver});
    if (driver == "none") sysfs_.Remove(fakes::SysfsTree::PciDirectory(device) + "/driver");
    return "ok";
  }
  // Another function in the device's group, on a driver.
  std::string AddSibling(const std::string& device, const std::string& driver) {
    sysfs_.AddPciFunction({.address = device.substr(0, device.size() - 1) + "1",
                           .group = kFirstGroup + NumberOf(device),
                           .driver = driver});
    return "ok";
  }

  std::string RemoveSibling(const std::string& device) {
    const std::string sibling = device.substr(0, device.size() - 1) + "1";
    sysfs_.Remove(fmt::format("{}/devices/{}",
                              fakes::SysfsTree::GroupDirectory(kFirstGroup + NumberOf(device)),
                              sibling));
    sysfs_.Remove("bus/pci/devices/" + sibling);
    sysfs_.Remove(fakes::SysfsTree::PciDirectory(sibling));
    return "ok";
  }

  // A kernel with the series, with all windows where they are at first, or one without it.
  std::string SwitchKnobs(bool present) {
    for (std::uint32_t group = kFirstGroup; group < kFirstGroup + devices_; ++group) {
      const std::string file = fakes::SysfsTree::GroupDirectory(group) + "/msi_window";
      if (present) {
        sysfs_.SetMsiWindow(group, "0x08000000 0x00100000");
        kernel_.Add(group, fmt::format("{}/{}", sysfs_.path(), file));
      } else {
        sysfs_.Remove(file);
      }
    }
    return "ok";
  }
  // The next time that a window is looked at or moved, the kernel takes as long.
  std::string SlowDown(std::chrono::milliseconds time) {
    kernel_.CallAt(1, [time] {
      std::promise<void> never;
      never.get_future().wait_for(time);
    });
    return "ok";
  }
  // Of another node, as far as a monitor can see.
  std::string StartDaemon(const std::string& socket, const std::string& version) {
    vfio_doorbell::admin::v1::NodeState state;
    state.mutable_daemon()->set_version(version);
    vfio_doorbell::admin::v1::GetMetricsResponse metrics;
    auto& family = *metrics.add_families();
    family.set_name("vfio_doorbell_build_info");
    family.set_help("1, of the version of the daemon.");
    family.set_type(vfio_doorbell::admin::v1::METRIC_GAUGE);
    auto& metric = *family.add_metrics();
    metric.set_value(1);
    auto& label = *metric.add_labels();
    label.set_name("version");
    label.set_value(version);
    other_daemon_ = std::make_unique<fakes::FakeAdminServer>(socket);
    other_daemon_->SetState(std::move(state));
    other_daemon_->SetMetrics(std::move(metrics));
    other_daemon_->Start();
    return "ok";
  }

  const std::uint32_t devices_;
  fakes::SysfsTree sysfs_;
  fakes::MsiWindowKernel kernel_;
  fakes::FakeKubelet kubelet_;
  fakes::FakePodResources pods_;
  std::map<std::string, core::PodDevices> given_;
  std::unique_ptr<fakes::FakeAdminServer> other_daemon_;  // null: there is none
};

}  // namespace
}  // namespace dp::monitoring

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: monitoring_world FOLDER DEVICES\n";
    return 2;
  }
  dp::monitoring::World world(argv[1], static_cast<std::uint32_t>(std::stoul(argv[2])));
  std::cout << world.sysfs() << std::endl;
  for (std::string line; std::getline(std::cin, line);) std::cout << world.Do(line) << std::endl;
  return 0;
}
