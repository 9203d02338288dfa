// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/scenario.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grpcpp/create_channel_posix.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string_view>

#include "api/kubevirt/hooks/plugins/v1alpha1/api.grpc.pb.h"
#include "plugin/base/status_macros.h"
#include "plugin/base/unique_fd.h"
#include "tests/bench/child_process.h"
#include "tests/bench/host.h"
#include "tests/bench/monitor.h"
#include "tests/bench/statistics.h"
#include "tests/fakes/fake_kubelet.h"
#include "tests/fakes/fake_pod_resources.h"
#include "tests/fakes/grpc_socket.h"
#include "tests/fakes/msi_window_kernel.h"
#include "tests/fakes/sysfs_tree.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/fakes/uevent_sender.h"

// The kubelet runs in this process and the daemon in one of its own, on the same cores: what the
// kubelet's side of a call costs is part of every figure, as it is on a node.

namespace dp::bench {
namespace {

constexpr double kKibPerMib = 1024;
// Devices that are allocated in turn. Each holds a window, and the pool has 111 of them.
constexpr std::uint32_t kAllocatedDevices = 64;
// That pods have when the daemon looks at them.
constexpr std::uint32_t kReservedDevices = 256;
constexpr std::chrono::seconds kReleaseDeadline{15};
// 150 times as often as a Prometheus that nobody has told otherwise.
constexpr std::chrono::milliseconds kScrapeInterval{100};
// In which the monitor tells the API server what has changed last: it does so once a second.
constexpr std::chrono::seconds kTelling{3};

double Milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

double Microseconds(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

absl::Status DiskError(std::string_view path) {
  return absl::InternalError(fmt::format("{}: {}", path, std::strerror(errno)));
}

// How long the disk takes for what a write of the ledger makes it do: a new file with as many bytes
// to the disk, in the place of an old one, and the folder to the disk.
absl::StatusOr<Clock::duration> SyncAsForLedger(const std::string& folder) {
  const std::string path = folder + "/bench";
  const std::string content(std::filesystem::file_size(folder + "/ledger.json"), 'x');
  const base::UniqueFd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return DiskError(folder);
  const base::UniqueFd file(
      ::open((path + ".new").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid()) return DiskError(path);
  if (::write(file.get(), content.data(), content.size()) < 0) return DiskError(path);
  const auto begin = Clock::now();
  if (::fsync(file.get()) < 0) return DiskError(path);
  if (::rename((path + ".new").c_str(), path.c_str()) < 0) return DiskError(path);
  if (::fsync(directory.get()) < 0) return DiskError(folder);
  return Clock::now() - begin;
}

// Of the network namespace that UeventSender has made, for the monitor and whom it speaks to.
absl::Status RaiseLoopback() {
  if (std::system("ip link set lo up") == 0) return absl::OkStatus();
  return absl::InternalError("`ip link set lo up` has failed, and the monitor needs it");
}

absl::Status MustBeOnDisk(const std::string& folder) {
  struct statfs system {};
  if (::statfs(folder.c_str(), &system) < 0) return DiskError(folder);
  if (system.f_type != TMPFS_MAGIC) return absl::OkStatus();
  return absl::InvalidArgumentError(folder + " is in memory, and no disk");
}

// One start of the daemon, and what is measured of it, in this order.
class Run {
 public:
  Run(Host& host, fakes::UeventSender& uevents, const Effort& effort, std::string ledger_folder,
      Samples& samples)
      : host_(host),
        uevents_(uevents),
        effort_(effort),
        ledger_folder_(std::move(ledger_folder)),
        samples_(samples),
        kubelet_(host.kubelet_folder()),
        pods_(host.pods_socket()) {}

  // `options` are more of the daemon.
  absl::Status Start(const std::string& daemon, const std::vector<std::string>& options = {}) {
    kubelet_.Start();
    std::vector<std::string> command = host_.Command(daemon, ledger_folder_);
    command.insert(command.end(), options.begin(), options.end());
    ASSIGN_OR_RETURN(daemon_, ChildProcess::Start(command, host_.log_path()));
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
    ASSIGN_OR_RETURN(const std::vector<double> us, AllocationsInMicroseconds());
    samples_.allocate_p50_us.push_back(Percentile(us, 50));
    samples_.allocate_p99_us.push_back(Percentile(us, 99));
    return absl::OkStatus();
  }

  // With the monitor beside it, and with somebody who asks that for its metrics.
  absl::Status BeMonitored(const std::string& program) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Monitor> monitor, Monitor::Start(program, host_));
    ASSIGN_OR_RETURN(std::vector<double> us, AllocationsInMicroseconds());
    samples_.monitored_allocate_p99_us.push_back(Percentile(us, 99));
    Scraper scraper(*monitor, kScrapeInterval);
    ASSIGN_OR_RETURN(us, AllocationsInMicroseconds());
    RETURN_IF_ERROR(scraper.Stop());
    samples_.scraped_allocate_p99_us.push_back(Percentile(us, 99));
    RETURN_IF_ERROR(monitor->process().KeepsRunningFor(kTelling));
    ASSIGN_OR_RETURN(const ChildProcess::Memory its, monitor->process().ReadMemory());
    ASSIGN_OR_RETURN(const ChildProcess::Memory daemons, daemon_->ReadMemory());
    samples_.monitor_anonymous_mib.push_back(static_cast<double>(its.anonymous) / kKibPerMib);
    samples_.monitored_anonymous_mib.push_back(
        static_cast<double>(its.anonymous + daemons.anonymous) / kKibPerMib);
    return monitor->Terminate();
  }

  // The ledger is on a disk. After each call the disk is asked to do again what it did for it, so
  // that both see the same disk.
  absl::Status AllocateOnDisk() {
    ASSIGN_OR_RETURN(
        const std::vector<Clock::duration> times, TimeAllocations(effort_.disk_allocations, [this] {
          ASSIGN_OR_RETURN(const Clock::duration sync, SyncAsForLedger(ledger_folder_));
          samples_.disk_sync_ms.push_back(Milliseconds(sync));
          return absl::OkStatus();
        }));
    for (const Clock::duration time : times)
      samples_.disk_allocate_ms.push_back(Milliseconds(time));
    return absl::OkStatus();
  }

  // Devices are reserved by pods that are there, and later by pods that are gone. In processor
  // time, since nobody waits for the daemon then.
  absl::Status Reconcile() {
    const auto reserved = std::min<std::size_t>(devices_.size(), kReservedDevices);
    const std::size_t share = (reserved + kAllocatedDevices - 1) / kAllocatedDevices;
    fakes::MsiWindowKernel kernel;
    host_.Obey(kernel, static_cast<std::uint32_t>(reserved));
    std::vector<core::PodDevices> pods;
    for (std::size_t i = 0; i < reserved; i += share) {
      const auto first = devices_.begin() + static_cast<std::ptrdiff_t>(i);
      const auto last = first + static_cast<std::ptrdiff_t>(std::min(share, reserved - i));
      RETURN_IF_ERROR(AllocateOnce({first, last}));
      pods.push_back(
          {.pod = {.space = "default", .name = fmt::format("virt-launcher-vm{}-x7k2p", i)},
           .container = "compute",
           .resource = kResource,
           .devices = {first, last}});
    }
    pods_.SetPods(pods);
    pods_.Start();
    RETURN_IF_ERROR(pods_.WaitForCalls(1));
    for (int look = 0; look < effort_.looks; ++look) {
      ASSIGN_OR_RETURN(const auto before, daemon_->ReadCpuTime());
      RETURN_IF_ERROR(pods_.WaitForCalls(look + 2));
      ASSIGN_OR_RETURN(const auto after, daemon_->ReadCpuTime());
      samples_.look_cpu_ms.push_back(Milliseconds(after - before));
    }
    RETURN_IF_ERROR(CallNodeHook());
    pods_.SetPods(std::vector<core::PodDevices>{});
    ASSIGN_OR_RETURN(const auto before, daemon_->ReadCpuTime());
    const auto deadline = Clock::now() + kReleaseDeadline;
    while (HasReservations()) {
      if (Clock::now() > deadline) {
        return absl::InternalError(fmt::format("there are reservations {} s after the last pod",
                                               kReleaseDeadline.count()));
      }
      RETURN_IF_ERROR(daemon_->KeepsRunningFor(std::chrono::milliseconds(20)));
    }
    ASSIGN_OR_RETURN(const auto after, daemon_->ReadCpuTime());
    samples_.give_back_cpu_ms.push_back(Milliseconds(after - before));
    for (std::uint32_t group = 0; group < reserved; ++group) {
      if (kernel.WindowOf(group) != core::kFixedWindow)
        return absl::InternalError(fmt::format("the window of group {} was not given back", group));
    }
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
  absl::Status AllocateOnce(const std::vector<std::string>& devices) {
    const grpc::Status status = kubelet_.Allocate(kResource, devices, nullptr);
    if (status.ok()) return absl::OkStatus();
    return absl::InternalError("Allocate of " + devices.front() + ": " + status.error_message());
  }

  absl::StatusOr<std::vector<double>> AllocationsInMicroseconds() {
    ASSIGN_OR_RETURN(const std::vector<Clock::duration> times,
                     TimeAllocations(effort_.allocations));
    std::vector<double> us;
    for (const Clock::duration time : times) us.push_back(Microseconds(time));
    return us;
  }

  // How long each of `count` calls took, after a warm-up of a tenth of them; `after_each` of them.
  absl::StatusOr<std::vector<Clock::duration>> TimeAllocations(
      int count, const std::function<absl::Status()>& after_each = absl::OkStatus) {
    const auto in_turn = std::min<std::size_t>(devices_.size(), kAllocatedDevices);
    const int warm_up = count / 10;
    std::vector<Clock::duration> times;
    for (int i = -warm_up; i < count; ++i) {
      const std::string& device = devices_[static_cast<std::size_t>(i + warm_up) % in_turn];
      const auto begin = Clock::now();
      RETURN_IF_ERROR(AllocateOnce({device}));
      if (i < 0) continue;
      times.push_back(Clock::now() - begin);
      RETURN_IF_ERROR(after_each());
    }
    return times;
  }

  // As virt-handler does before it starts the first of these virtual machines.
  absl::Status CallNodeHook() {
    namespace v1alpha1 = ::kubevirt::hooks::plugins::v1alpha1;
    const auto hook = v1alpha1::NodeHookService::NewStub(
        grpc::CreateInsecureChannelFromFd("hook", fakes::ConnectTo(host_.hook_socket()).Release()));
    v1alpha1::ExecuteNodeHookRequest request;
    request.set_hookpoint("PreVMStart");
    request.set_vmi(fmt::format(
        R"({{"metadata": {{"name": "vm0", "namespace": "default"}}, "spec": {{"domain": {{
           "memory": {{"guest": "4Gi"}},
           "devices": {{"hostDevices": [{{"name": "a", "deviceName": "{}"}}]}}}}}}}})",
        kResource));
    for (int i = -effort_.hooks / 10; i < effort_.hooks; ++i) {
      grpc::ClientContext context;
      v1alpha1::ExecuteNodeHookResponse response;
      const auto begin = Clock::now();
      const grpc::Status status = hook->ExecuteNodeHook(&context, request, &response);
      if (!status.ok()) return absl::InternalError("the node hook: " + status.error_message());
      if (i >= 0) samples_.node_hook_ms.push_back(Milliseconds(Clock::now() - begin));
    }
    return absl::OkStatus();
  }

  [[nodiscard]] bool HasReservations() const {
    std::ifstream file(ledger_folder_ + "/ledger.json");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    return text.find("\"allocations\"") != std::string::npos;
  }

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
  const std::string ledger_folder_;
  Samples& samples_;
  fakes::FakeKubelet kubelet_;
  fakes::FakePodResources pods_;  // that serves for Reconcile()
  std::unique_ptr<ChildProcess> daemon_;
  std::vector<std::string> devices_;
};

}  // namespace

absl::StatusOr<Samples> Measure(const std::string& daemon, const std::string& monitor,
                                const Effort& effort) {
  RETURN_IF_ERROR(MustBeOnDisk(effort.disk));
  Samples samples;
  fakes::UeventSender uevents;
  RETURN_IF_ERROR(RaiseLoopback());
  Host host(effort.groups);
  for (int start = 0; start < effort.starts; ++start) {
    Run run(host, uevents, effort, host.ledger_folder(), samples);
    RETURN_IF_ERROR(run.Start(daemon));
    RETURN_IF_ERROR(run.Allocate());
    RETURN_IF_ERROR(run.ReadMemory());
    if (start == 0) RETURN_IF_ERROR(run.Idle());
    RETURN_IF_ERROR(run.UpdateList());
    RETURN_IF_ERROR(run.Unbind());
    if (start == 0) RETURN_IF_ERROR(run.RestartKubelet());
    RETURN_IF_ERROR(run.Terminate());
  }
  Samples not_shown;  // what these starts measure again, in other circumstances
  for (int start = 0; start < effort.starts; ++start) {
    Run monitored(host, uevents, effort, host.ledger_folder(), not_shown);
    RETURN_IF_ERROR(monitored.Start(daemon, {"--node-hook-socket=" + host.hook_socket()}));
    RETURN_IF_ERROR(monitored.BeMonitored(monitor));
    RETURN_IF_ERROR(monitored.Terminate());
  }
  samples.monitored_allocate_p99_us = not_shown.monitored_allocate_p99_us;
  samples.scraped_allocate_p99_us = not_shown.scraped_allocate_p99_us;
  samples.monitored_anonymous_mib = not_shown.monitored_anonymous_mib;
  samples.monitor_anonymous_mib = not_shown.monitor_anonymous_mib;

  Run reconciling(host, uevents, effort, host.ledger_folder(), not_shown);
  RETURN_IF_ERROR(
      reconciling.Start(daemon, {"--release-grace=1", "--node-hook-socket=" + host.hook_socket()}));
  RETURN_IF_ERROR(reconciling.Reconcile());
  RETURN_IF_ERROR(reconciling.Terminate());
  samples.look_cpu_ms = not_shown.look_cpu_ms;
  samples.give_back_cpu_ms = not_shown.give_back_cpu_ms;
  samples.node_hook_ms = not_shown.node_hook_ms;
  host.ResetWindows(effort.groups);

  const fakes::TemporaryFolder folder(effort.disk);
  Run on_disk(host, uevents, effort, folder.path(), not_shown);
  RETURN_IF_ERROR(on_disk.Start(daemon));
  RETURN_IF_ERROR(on_disk.AllocateOnDisk());
  RETURN_IF_ERROR(on_disk.Terminate());
  samples.disk_allocate_ms = not_shown.disk_allocate_ms;
  samples.disk_sync_ms = not_shown.disk_sync_ms;
  return samples;
}

}  // namespace dp::bench
