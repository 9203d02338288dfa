// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string_view>

#include "plugin/base/status_macros.h"
#include "tests/bench/child_process.h"
#include "tests/bench/statistics.h"
#include "tests/fakes/fake_kubelet.h"
#include "tests/fakes/sysfs_tree.h"
#include "tests/fakes/uevent_sender.h"

// The kubelet runs in this process and the daemon in one of its own, on the same cores: what the
// kubelet's side of a call costs is part of every figure, as it is on a node.

namespace dp::bench {
namespace {

constexpr char kResource[] = "vfio.example/disk";
constexpr double kKibPerMib = 1024;
// Devices that are allocated in turn. Each holds a window, and the pool has 111 of them.
constexpr std::uint32_t kAllocatedDevices = 64;

double Milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

double Microseconds(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

// All that the daemon sees of the world: a host with N groups, its device nodes, and folders.
class Host {
 public:
  explicit Host(std::uint32_t groups) : groups_(groups) {
    sysfs_.AddManyGroups(groups);
    rest_.AddDirectory("kubelet");
    rest_.AddFile("dev/vfio/vfio", "");
    for (std::uint32_t group = 0; group < groups; ++group) {
      rest_.AddFile(fmt::format("dev/vfio/{}", group), "");
      rest_.AddFile(fmt::format("dev/vfio/devices/vfio{}", group), "");
    }
    const fakes::SysfsTree::PciFunction any;
    rest_.AddFile("config.yaml", fmt::format("version: v1\n"
                                             "resources:\n"
                                             "  - name: {}\n"
                                             "    selectors:\n"
                                             "      - {{vendor: \"{:04x}\", device: \"{:04x}\"}}\n",
                                             kResource, any.vendor, any.device));
  }

  [[nodiscard]] std::vector<std::string> Command(const std::string& daemon) const {
    return {daemon,
            "--config=" + Path("config.yaml"),
            "--kubelet-dir=" + kubelet_folder(),
            "--sysfs-root=" + sysfs_.path(),
            "--dev-root=" + Path("dev"),
            "--state-dir=" + Path("state"),
            "--data-dir=" + Path("data"),
            "--pod-resources-socket=" + Path("pods.sock")};
  }
  [[nodiscard]] std::string log_path() const { return Path("log"); }
  [[nodiscard]] std::string kubelet_folder() const { return Path("kubelet"); }
  [[nodiscard]] std::uint32_t groups() const { return groups_; }

  // Gives the first device to the VFIO driver, or to another one, as `driverctl` would. A VFIO
  // driver makes a vfio-dev directory and a node, and takes them along when it goes.
  void BindFirst(const v1beta1::Device& device, bool to_vfio) {
    const auto& nodes = device.topology().nodes();
    if (to_vfio) {
      rest_.AddFile("dev/vfio/0", "");
    } else {
      rest_.Remove("dev/vfio/0");
      sysfs_.Remove(fakes::SysfsTree::PciDirectory(device.id()) + "/vfio-dev");
    }
    sysfs_.AddPciFunction({.address = device.id(),
                           .group = 0,
                           .driver = to_vfio ? "vfio-pci" : "nvme",
                           .numa_node = nodes.empty() ? -1 : static_cast<int>(nodes[0].id()),
                           .cdev = to_vfio ? "vfio0" : ""});
  }

  // Sockets in the kubelet's folder that are not the kubelet's.
  [[nodiscard]] int CountSockets() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(kubelet_folder()))
      if (entry.is_socket() && entry.path().filename() != "kubelet.sock") ++count;
    return count;
  }

 private:
  [[nodiscard]] std::string Path(std::string_view name) const {
    return fmt::format("{}/{}", rest_.path(), name);
  }

  const std::uint32_t groups_;
  fakes::SysfsTree sysfs_;
  fakes::SysfsTree rest_;  // nothing of sysfs, but also files in memory that go with the object
};

// One start of the daemon, and what is measured of it, in this order.
class Run {
 public:
  Run(Host& host, fakes::UeventSender& uevents, const Effort& effort, Samples& samples)
      : host_(host),
        uevents_(uevents),
        effort_(effort),
        samples_(samples),
        kubelet_(host.kubelet_folder()) {}

  absl::Status Start(const std::string& daemon) {
    kubelet_.Start();
    ASSIGN_OR_RETURN(daemon_, ChildProcess::Start(host_.Command(daemon), host_.log_path()));
    if (absl::Status listed = kubelet_.WaitForDevices(kResource, host_.groups()); !listed.ok()) {
      // If it has ended, what it said explains more.
      RETURN_IF_ERROR(daemon_->KeepsRunningFor(std::chrono::milliseconds(0)));
      return listed;
    }
    const auto resource = kubelet_.Get(kResource);
    samples_.exec_to_registered_ms.push_back(
        Milliseconds(resource.registered_at - daemon_->started()));
    samples_.exec_to_listed_ms.push_back(Milliseconds(resource.listed_at - daemon_->started()));
    for (const auto& [id, device] : resource.devices) {
      if (device.health() != "Healthy")
        return absl::InternalError("the device " + id + " is not healthy");
      devices_.push_back(id);
    }
    return absl::OkStatus();
  }

  absl::Status Allocate() {
    const auto in_turn = std::min<std::size_t>(devices_.size(), kAllocatedDevices);
    const int warm_up = effort_.allocations / 10;
    std::vector<double> times;
    for (int i = -warm_up; i < effort_.allocations; ++i) {
      const std::string& device = devices_[static_cast<std::size_t>(i + warm_up) % in_turn];
      const auto begin = Clock::now();
      const grpc::Status status = kubelet_.Allocate(kResource, {device}, nullptr);
      if (i >= 0) times.push_back(Microseconds(Clock::now() - begin));
      if (!status.ok())
        return absl::InternalError("Allocate of " + device + ": " + status.error_message());
    }
    samples_.allocate_p50_us.push_back(Percentile(times, 50));
    samples_.allocate_p99_us.push_back(Percentile(times, 99));
    return absl::OkStatus();
  }

  absl::Status ReadMemory() {
    ASSIGN_OR_RETURN(const ChildProcess::Memory memory, daemon_->ReadMemory());
    samples_.anonymous_mib.push_back(static_cast<double>(memory.anonymous) / kKibPerMib);
    samples_.resident_mib.push_back(static_cast<double>(memory.resident) / kKibPerMib);
    return absl::OkStatus();
  }

  absl::Status Idle() {
    RETURN_IF_ERROR(ComeToRest());
    ASSIGN_OR_RETURN(const std::int64_t before, daemon_->CountWakeups());
    RETURN_IF_ERROR(daemon_->KeepsRunningFor(std::chrono::seconds(effort_.idle_seconds)));
    ASSIGN_OR_RETURN(const std::int64_t after, daemon_->CountWakeups());
    samples_.idle_wakeups.push_back(static_cast<double>(after - before));
    return absl::OkStatus();
  }

  // The daemon looks at a device when it is asked for, so that is how it learns of a new driver.
  absl::Status UpdateList() {
    const v1beta1::Device device = kubelet_.Get(kResource).devices.at(devices_.front());
    for (int i = 0; i < effort_.list_updates; ++i) {
      const bool healthy = i % 2 == 1;
      host_.BindFirst(device, healthy);
      const auto begin = Clock::now();
      const grpc::Status status = kubelet_.Allocate(kResource, {device.id()}, nullptr);
      if (status.ok() != healthy) {
        return absl::InternalError(fmt::format("Allocate of a device that is {}healthy: {}",
                                               healthy ? "" : "not ",
                                               status.ok() ? "granted" : status.error_message()));
      }
      RETURN_IF_ERROR(WaitForHealth(device.id(), healthy));
      samples_.list_update_ms.push_back(Milliseconds(kubelet_.Get(kResource).listed_at - begin));
    }
    host_.BindFirst(device, true);
    return absl::OkStatus();
  }

  // Each is an event of its own: the daemon has come to rest. Asking for a device is the fastest
  // way to have it back.
  absl::Status Unbind() {
    const v1beta1::Device device = kubelet_.Get(kResource).devices.at(devices_.front());
    const std::string path = "/" + fakes::SysfsTree::PciDirectory(device.id());
    for (int i = 0; i < effort_.unbindings; ++i) {
      RETURN_IF_ERROR(daemon_->KeepsRunningFor(std::chrono::milliseconds(500)));
      host_.BindFirst(device, false);
      const auto begin = Clock::now();
      uevents_.Send("unbind", path, "pci");
      RETURN_IF_ERROR(WaitForHealth(device.id(), false));
      samples_.unbound_to_listed_ms.push_back(
          Milliseconds(kubelet_.Get(kResource).listed_at - begin));
      host_.BindFirst(device, true);
      const grpc::Status status = kubelet_.Allocate(kResource, {device.id()}, nullptr);
      if (!status.ok()) return absl::InternalError("Allocate: " + status.error_message());
      RETURN_IF_ERROR(WaitForHealth(device.id(), true));
    }
    return absl::OkStatus();
  }

  absl::Status RestartKubelet() {
    for (int i = 0; i < effort_.restarts; ++i) {
      kubelet_.Stop();
      const auto begin = Clock::now();
      kubelet_.Start();
      RETURN_IF_ERROR(kubelet_.WaitFor(kResource, "a new registration",
                                       [begin](const fakes::FakeKubelet::Resource& resource) {
                                         return resource.registered_at > begin;
                                       }));
      samples_.restart_to_registered_ms.push_back(
          Milliseconds(kubelet_.Get(kResource).registered_at - begin));
      RETURN_IF_ERROR(kubelet_.WaitForDevices(kResource, host_.groups()));
    }
    return absl::OkStatus();
  }

  absl::Status Terminate() {
    ASSIGN_OR_RETURN(const Clock::duration took, daemon_->Terminate());
    samples_.sigterm_to_exit_ms.push_back(Milliseconds(took));
    samples_.sockets_left.push_back(host_.CountSockets());
    return absl::OkStatus();
  }

 private:
  // Until the first second without a wakeup: the last call has an aftermath, such as the pings with
  // which the kubelet's gRPC measures the connection. A daemon that never rests is measured as it
  // is.
  absl::Status ComeToRest() {
    std::int64_t before = -1;
    for (int i = 0; i < effort_.idle_seconds / 2; ++i) {
      ASSIGN_OR_RETURN(const std::int64_t now, daemon_->CountWakeups());
      if (now == before) break;
      before = now;
      RETURN_IF_ERROR(daemon_->KeepsRunningFor(std::chrono::seconds(1)));
    }
    return absl::OkStatus();
  }

  absl::Status WaitForHealth(const std::string& device, bool healthy) const {
    return kubelet_.WaitFor(kResource, healthy ? "its device back" : "a device that is unhealthy",
                            [&](const fakes::FakeKubelet::Resource& resource) {
                              const auto found = resource.devices.find(device);
                              return found != resource.devices.end() &&
                                     (found->second.health() == "Healthy") == healthy;
                            });
  }

  Host& host_;
  fakes::UeventSender& uevents_;
  const Effort& effort_;
  Samples& samples_;
  fakes::FakeKubelet kubelet_;
  std::unique_ptr<ChildProcess> daemon_;
  std::vector<std::string> devices_;
};

}  // namespace

absl::StatusOr<Samples> Measure(const std::string& daemon, const Effort& effort) {
  Samples samples;
  fakes::UeventSender uevents;
  Host host(effort.groups);
  for (int start = 0; start < effort.starts; ++start) {
    Run run(host, uevents, effort, samples);
    RETURN_IF_ERROR(run.Start(daemon));
    RETURN_IF_ERROR(run.Allocate());
    RETURN_IF_ERROR(run.ReadMemory());
    if (start == 0) RETURN_IF_ERROR(run.Idle());
    RETURN_IF_ERROR(run.UpdateList());
    RETURN_IF_ERROR(run.Unbind());
    if (start == 0) RETURN_IF_ERROR(run.RestartKubelet());
    RETURN_IF_ERROR(run.Terminate());
  }
  return samples;
}

}  // namespace dp::bench
