// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/app.h"

#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "plugin/app/admin.h"
#include "plugin/app/counting_knob.h"
#include "plugin/app/host_facts.h"
#include "plugin/app/node_hook.h"
#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/config/config_file.h"
#include "plugin/config/config_watch.h"
#include "plugin/core/device_broker.h"
#include "plugin/core/rescan_pacer.h"
#include "plugin/kubelet/endpoint.h"
#include "plugin/kubelet/folder_watch.h"
#include "plugin/kubelet/pod_resources.h"
#include "plugin/ledger/driver_file.h"
#include "plugin/ledger/ledger_file.h"
#include "plugin/os/event_loop.h"
#include "plugin/os/file.h"
#include "plugin/os/parallel.h"
#include "plugin/os/signal_fd.h"
#include "plugin/os/syscall.h"
#include "plugin/os/uevent_socket.h"
#include "plugin/server/device_plugin_server.h"
#include "plugin/server/quiet_grpc.h"
#include "plugin/settings/settings_directory.h"
#include "plugin/sysfs/group_scanner.h"
#include "plugin/sysfs/msi_window_file.h"
#include "plugin/sysfs/pci_driver_files.h"
#include "plugin/sysfs/sysfs_root.h"

// From start to end:
//   Create   receive uevents, scan the host; no effect outside
//   Run      read the ledger, serve, listen, watch the folder, register; then the loop
//   Drain    on a signal: sockets removed, streams ended, waiting calls answered, gRPC shut down
// Order matters three times. Uevents are received before the host is scanned, and the folder is
// watched before anything in it is made or looked for, so that nothing is missed in between. And
// the loop runs until the last part has stopped, because gRPC waits for calls whose answers come
// from the loop; so each shutdown has a thread of its own.

namespace dp::app {
namespace {

// A kubelet that has just started is left alone with its start before the host is scanned anew; a
// kubelet that restarts in a loop does not cause a scan each time.
constexpr std::chrono::milliseconds kRegisteredDelay{50};
// For the kubelet to take note of the end of its streams.
constexpr std::chrono::milliseconds kStreamsDeadline{500};

// For a change of drivers that is under way at the end.
constexpr std::chrono::seconds kDriverDeadline{3};

class LoopTimers final : public core::Timers {
 public:
  explicit LoopTimers(os::EventLoop& loop) : loop_(loop) {}
  [[nodiscard]] std::chrono::steady_clock::time_point Now() const override {
    return std::chrono::steady_clock::now();
  }
  [[nodiscard]] std::int64_t WallMs() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  void CallAfter(std::chrono::steady_clock::duration delay, std::function<void()> call) override {
    loop_.CallAfter(delay, std::move(call));
  }

 private:
  os::EventLoop& loop_;
};

class Daemon final : public App {
 public:
  Daemon(const Options& options, std::unique_ptr<os::EventLoop> loop, sysfs::SysfsRoot sysfs)
      : options_(options),
        loop_(std::move(loop)),
        timers_(*loop_),
        sysfs_(std::move(sysfs)),
        scanner_(sysfs_),
        knob_file_(sysfs_),
        knob_(knob_file_, statistics_.kernel_writes),
        drivers_(sysfs_, {.dev_root = options.dev_root, .root_argument = ReadRootArgument()}),
        settings_(options.state_dir, options.cdi_dir),
        ledger_(options.data_dir),
        driver_store_(options.data_dir),
        pods_(*loop_, options.pod_resources_socket),
        pacer_(timers_, std::chrono::steady_clock::now, {.interval = options.rescan_interval},
               [this] { Rescan(); }) {}

  void ReceiveUevents();
  absl::Status CreateBroker(core::Config config);
  absl::Status Run() override;

 private:
  // What the kubelet sees of one resource.
  struct Plugin {
    std::unique_ptr<server::DevicePluginServer> server;  // null: the resource is not served
    std::unique_ptr<kubelet::Endpoint> endpoint;
    std::int64_t watched_since_ms = 0;
    std::int64_t list_sent_ms = 0;
  };
  // One that is served no more, until nothing of it runs.
  struct Retired {
    Plugin plugin;
    bool stopped = false;  // its endpoint
    bool ended = false;    // its streams, or their time is over
    std::optional<os::EventLoop::TimerId> deadline;
    std::jthread shutdown;
  };

  absl::Status Serve();
  absl::Status AddPlugin(std::size_t resource);
  void ChooseWay();
  void WatchFolderIfNeeded();
  void WatchConfig();
  void Reload();
  void OnReconfigured(const absl::StatusOr<core::ConfigChange>& change);
  void RefuseConfig(base::Reason reason, const absl::Status& status);
  void Retire(std::size_t resource);
  void RetireFurther(Retired& retired);
  void OnRegistered(std::size_t resource);
  void OnWatched(std::size_t resource, bool watched);
  void OnAnswered(std::size_t resource, server::DevicePluginServer::Method method,
                  const absl::Status& status, server::DevicePluginServer::Duration duration);
  void StartAdmin();
  [[nodiscard]] server::DaemonFacts Facts() const;
  void OnUevents(std::span<const os::Uevent> uevents);
  void Rescan();
  void RunAside(std::function<void()> work, std::function<void()> done);
  void Drain();
  void PartStopped();

  const Options options_;
  std::unique_ptr<os::EventLoop> loop_;
  LoopTimers timers_;
  sysfs::SysfsRoot sysfs_;
  sysfs::GroupScanner scanner_;
  core::Statistics statistics_;
  sysfs::MsiWindowFile knob_file_;
  CountingKnob knob_;
  sysfs::PciDriverFiles drivers_;
  settings::SettingsDirectory settings_;
  ledger::LedgerFile ledger_;
  ledger::DriverFile driver_store_;
  kubelet::PodResources pods_;
  std::unique_ptr<core::DeviceBroker> broker_;
  std::unique_ptr<os::SignalFd> signals_;
  kubelet::Endpoint::Way way_ = kubelet::Endpoint::Way::kKubeletSocket;
  std::string sockets_dir_;      // where the endpoints are
  std::vector<Plugin> plugins_;  // by the place of the resource
  std::list<Retired> retired_;
  std::unique_ptr<NodeHook> node_hook_;  // null: not asked for
  std::unique_ptr<Admin> admin_;         // null: not yet
  const std::int64_t started_ms_ = timers_.WallMs();
  const std::string boot_id_ = ReadBootId();
  std::uint64_t config_generation_ = 1;
  std::string config_hash_;  // of the configuration in force
  std::unique_ptr<config::ConfigWatch> config_watch_;
  std::string last_refusal_;  // of a configuration; what was logged last
  std::unique_ptr<kubelet::FolderWatch> folder_;
  core::RescanPacer pacer_;
  absl::Status uevents_status_;
  std::unique_ptr<os::UeventSocket> uevents_;  // null: none are received, for the reason above

  std::size_t aside_ = 0;  // works on threads of their own
  bool draining_ = false;
  std::size_t running_parts_ = 0;  // that must stop before the loop may
};

void Daemon::ReceiveUevents() {
  auto uevents = os::UeventSocket::Create(
      *loop_, [this](std::span<const os::Uevent> received) { OnUevents(received); });
  uevents_status_ = uevents.status();
  if (uevents.ok()) uevents_ = *std::move(uevents);
}

absl::Status Daemon::CreateBroker(core::Config config) {
  config_hash_ = config.hash;
  auto broker = core::DeviceBroker::Create(
      std::move(config),
      {.scanner = scanner_,
       .knob = knob_,
       .settings = settings_,
       .ledger = ledger_,
       .pods = pods_,
       .timers = timers_,
       .drivers = drivers_,
       .driver_store = driver_store_,
       .aside = [this](std::function<void()> work,
                       std::function<void()> done) { RunAside(std::move(work), std::move(done)); },
       .has_node =
           [this](const std::string& path) {
             // Its node is outside of /dev/vfio, which is all that is mounted into our container.
             if (path == "iommu") return sysfs_.directory().Follow("class/misc/iommu").ok();
             std::error_code error;
             return std::filesystem::exists(options_.dev_root + "/" + path, error);
           },
       .page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)),
       .boot_id = boot_id_,
       .patience = {},
       .leave = {.interval = std::min<std::chrono::milliseconds>(
                     core::Leave{}.interval, std::chrono::milliseconds(options_.release_grace) / 4),
                 .grace = options_.release_grace}});
  if (!broker.ok()) return broker.status();
  broker_ = *std::move(broker);
  return absl::OkStatus();
}

absl::Status Daemon::Run() {
  log::Observe([this](log::Level level, std::string_view message, log::Fields fields) {
    loop_->Post([this, occurrence = Admin::OccurrenceOf(level, message, fields, timers_.WallMs())] {
      if (admin_) admin_->Note(occurrence);
    });
  });
  // Before gRPC makes threads: they inherit the blocked signals.
  ASSIGN_OR_RETURN(signals_,
                   os::SignalFd::Create(*loop_, {SIGTERM, SIGINT, SIGHUP}, [this](int signal) {
                     if (signal == SIGHUP) {
                       Reload();
                       return;
                     }
                     log::Info("draining", {{"signal", signal}});
                     Drain();
                   }));
  // What was served before something went wrong has to be taken down in the same way as at the end.
  absl::Status status = Serve();
  if (!status.ok()) Drain();
  loop_->Run();
  log::Observe({});
  return status;
}

absl::Status Daemon::Serve() {
  RETURN_IF_ERROR(settings_.Prepare());
  RETURN_IF_ERROR(ledger_.Prepare());
  RETURN_IF_ERROR(broker_->Open());
  ChooseWay();
  folder_ =
      std::make_unique<kubelet::FolderWatch>(*loop_, sockets_dir_, [this](bool kubelet_started) {
        if (kubelet_started) {
          ++statistics_.kubelet_restarts;
          broker_->KubeletStarted();
        }
        for (const Plugin& plugin : plugins_) {
          if (plugin.endpoint) plugin.endpoint->OnFolderChange(kubelet_started);
        }
      });
  broker_->NotifyChanges([this](std::size_t resource) {
    if (resource < plugins_.size() && plugins_[resource].server)
      plugins_[resource].server->SendList();
  });
  server::PrepareGrpc(*loop_);
  for (std::size_t i = 0; i < broker_->offers().size(); ++i) RETURN_IF_ERROR(AddPlugin(i));
  if (!uevents_status_.ok()) {
    log::Warning("changes are seen late", {{"reason", base::Reason::kNoUevents},
                                           {"seconds", options_.rescan_interval.count()},
                                           {"error", uevents_status_}});
  }
  pacer_.Start();
  WatchConfig();
  if (!options_.node_hook_socket.empty()) {
    ASSIGN_OR_RETURN(node_hook_, NodeHook::Create(*loop_, *broker_, options_.node_hook_socket));
  }
  StartAdmin();
  server::StopGrpcTimers();
  for (const Plugin& plugin : plugins_) plugin.endpoint->Start();
  return absl::OkStatus();
}

// Nothing that the kubelet needs depends on it.
void Daemon::StartAdmin() {
  admin_ = std::make_unique<Admin>(Admin::Parts{.loop = *loop_,
                                                .timers = timers_,
                                                .broker = *broker_,
                                                .statistics = statistics_,
                                                .facts = [this] { return Facts(); }});
  admin_->Changed();
  broker_->NotifyTurns([this] { admin_->Changed(); });
  broker_->NotifyReconciled([this](auto duration) { statistics_.reconcile.Add(duration); });
  if (const absl::Status status = admin_->Listen(options_.admin_socket, options_.admin_gid);
      !status.ok()) {
    log::Error("nobody can ask", {{"reason", base::Reason::kNotListening}, {"error", status}});
  }
}

server::DaemonFacts Daemon::Facts() const {
  server::DaemonFacts facts{.version = VFIO_DOORBELL_VERSION,
                            .boot_id = boot_id_,
                            .started_ms = started_ms_,
                            .config_file = options_.config,
                            .config_generation = config_generation_,
                            .config_hash = config_hash_,
                            .config_error = last_refusal_,
                            .kubelet_restarts = statistics_.kubelet_restarts,
                            .resources = {}};
  for (std::size_t i = 0; i < plugins_.size(); ++i) {
    const Plugin& plugin = plugins_[i];
    if (!plugin.server) continue;
    const core::Resource& resource = broker_->resource(i);
    const auto registrations = statistics_.registrations.find(resource.name);
    facts.resources.push_back({.name = resource.name,
                               .watched = plugin.endpoint && plugin.endpoint->watched(),
                               .watched_since_ms = plugin.watched_since_ms,
                               .list_sent_ms = plugin.list_sent_ms,
                               .registrations = registrations == statistics_.registrations.end()
                                                    ? 0
                                                    : registrations->second,
                               .observe = resource.observe,
                               .cdi = resource.cdi,
                               .iommufd = resource.iommufd});
  }
  return facts;
}

// Never both: docs/adr/2026-11-24-one-way-of-registration.md
void Daemon::ChooseWay() {
  sockets_dir_ = options_.kubelet_dir;
  if (options_.registration != "plugins-registry") return;
  // The final slash: it is to be a folder.
  if (::access((options_.plugins_registry_dir + "/").c_str(), W_OK | X_OK) == 0) {
    way_ = kubelet::Endpoint::Way::kPluginsRegistry;
    sockets_dir_ = options_.plugins_registry_dir;
    return;
  }
  log::Warning("registering through the kubelet's socket",
               {{"reason", base::Reason::kNoPluginsRegistry},
                {"error", os::ErrnoError(errno, "register in " + options_.plugins_registry_dir)}});
}

absl::Status Daemon::AddPlugin(std::size_t resource) {
  ASSIGN_OR_RETURN(auto server,
                   server::DevicePluginServer::Create(
                       *loop_, *broker_, resource,
                       {.list_sent =
                            [this, resource] {
                              plugins_[resource].list_sent_ms = timers_.WallMs();
                              ::malloc_trim(0);
                            },
                        .answered =
                            [this, resource](auto method, const auto& status, auto duration) {
                              OnAnswered(resource, method, status, duration);
                            },
                        .watched = [this, resource](bool watched) { OnWatched(resource, watched); },
                        .announced =
                            [this, resource](const absl::Status& status) {
                              if (!plugins_[resource].endpoint) return;
                              plugins_[resource].endpoint->OnAnnounced(status);
                            }}));
  auto endpoint = kubelet::Endpoint::Create(
      *loop_, way_, sockets_dir_, broker_->offers()[resource].resource,
      {.connected = [server = server.get()](
                        base::UniqueFd connection) { server->Serve(std::move(connection)); },
       .registered = [this, resource] { OnRegistered(resource); }});
  if (plugins_.size() <= resource) plugins_.resize(resource + 1);
  plugins_[resource].server = std::move(server);
  if (!endpoint.ok()) return endpoint.status();
  plugins_[resource].endpoint = *std::move(endpoint);
  return absl::OkStatus();
}

void Daemon::OnWatched(std::size_t resource, bool watched) {
  Plugin& plugin = plugins_[resource];
  if (!plugin.endpoint) return;
  plugin.endpoint->SetWatched(watched);
  plugin.watched_since_ms = watched ? timers_.WallMs() : 0;
  if (admin_) admin_->Touch();
  WatchFolderIfNeeded();
}

void Daemon::OnAnswered(std::size_t resource, server::DevicePluginServer::Method method,
                        const absl::Status& status, server::DevicePluginServer::Duration duration) {
  const bool is_start = method == server::DevicePluginServer::Method::kPreStartContainer;
  const std::pair key(broker_->offers()[resource].resource, std::string(core::ResultOf(status)));
  ++(is_start ? statistics_.starts : statistics_.allocations)[key];
  (is_start ? statistics_.start : statistics_.allocate).Add(duration);
}

// As long as the kubelet watches every resource it has not restarted, and the folder does not
// matter.
void Daemon::WatchFolderIfNeeded() {
  if (draining_) return;
  const bool all_watched = std::all_of(plugins_.begin(), plugins_.end(), [](const Plugin& plugin) {
    return !plugin.server || (plugin.endpoint && plugin.endpoint->watched());
  });
  if (all_watched) {
    folder_->Pause();
  } else {
    folder_->Resume();
  }
}

void Daemon::WatchConfig() {
  auto watch = config::ConfigWatch::Create(*loop_, options_.config, [this] { Reload(); });
  if (watch.ok()) {
    config_watch_ = *std::move(watch);
  } else {
    log::Warning("configuration not watched",
                 {{"reason", base::Reason::kConfigNotWatched}, {"error", watch.status()}});
  }
}

void Daemon::Reload() {
  if (draining_) return;
  auto config = config::LoadConfigFile(options_.config);
  if (!config.ok()) {
    RefuseConfig(base::Reason::kConfigInvalid, config.status());
    return;
  }
  std::string hash = config->hash;
  broker_->Reconfigure(*std::move(config), [this, hash = std::move(hash)](
                                               const absl::StatusOr<core::ConfigChange>& change) {
    if (draining_) return;
    if (change.ok()) {
      ++config_generation_;
      config_hash_ = hash;
    }
    OnReconfigured(change);
    if (admin_) admin_->Touch();
  });
}

void Daemon::RefuseConfig(base::Reason reason, const absl::Status& status) {
  // A folder that changes in several steps is read as often.
  const std::string refusal(status.message());
  if (refusal == last_refusal_) return;
  last_refusal_ = refusal;
  if (admin_) admin_->Touch();
  log::Error("configuration refused", {{"reason", reason}, {"error", status}});
}

void Daemon::OnReconfigured(const absl::StatusOr<core::ConfigChange>& change) {
  if (!change.ok()) {
    RefuseConfig(base::Reason::kConfigDoesNotFit, change.status());
    return;
  }
  last_refusal_.clear();
  for (const std::size_t resource : change->removed) {
    log::Info("resource removed", {{"resource", broker_->offers()[resource].resource}});
    Retire(resource);
  }
  for (const std::size_t resource : change->added) {
    const absl::Status status = AddPlugin(resource);
    if (status.ok()) {
      plugins_[resource].endpoint->Start();
    } else {
      log::Error("resource not served", {{"reason", base::Reason::kNotListening},
                                         {"resource", broker_->offers()[resource].resource},
                                         {"error", status}});
    }
  }
  log::Info("configuration read",
            {{"added", change->added.size()}, {"removed", change->removed.size()}});
}

// Removes its socket, ends its streams, then all of its calls and connections.
void Daemon::Retire(std::size_t resource) {
  if (!plugins_[resource].server) return;
  Retired& retired = retired_.emplace_back();
  retired.plugin = std::exchange(plugins_[resource], {});
  retired.stopped = !retired.plugin.endpoint;
  const auto end = [this, &retired] {
    retired.ended = true;
    RetireFurther(retired);
  };
  retired.deadline = loop_->CallAfter(kStreamsDeadline, end);
  // First: whoever sees a stream end finds no socket any more.
  if (!retired.stopped) {
    retired.plugin.endpoint->Stop([this, &retired] {
      retired.stopped = true;
      RetireFurther(retired);
    });
  }
  retired.plugin.server->EndStreams(end);
}

void Daemon::RetireFurther(Retired& retired) {
  if (!retired.stopped || !retired.ended || retired.shutdown.joinable()) return;
  retired.shutdown = std::jthread([this, &retired] {
    retired.plugin.server->Shutdown();
    loop_->Post([this, &retired] {
      loop_->Cancel(*retired.deadline);
      retired_.remove_if([&retired](const Retired& entry) { return &entry == &retired; });
      if (draining_) PartStopped();
    });
  });
  // Meanwhile: if the folder is being watched, the kernel takes milliseconds to end that.
  if (draining_) folder_.reset();
}

// Much may have changed while there was no kubelet.
void Daemon::OnRegistered(std::size_t resource) {
  ++statistics_.registrations[broker_->offers()[resource].resource];
  broker_->KubeletStarted();
  pacer_.RequestAfter(kRegisteredDelay);
}

void Daemon::OnUevents(std::span<const os::Uevent> uevents) {
  for (const os::Uevent& uevent : uevents) {
    if (uevent.kind == os::Uevent::Kind::kLost) {
      log::Info("uevents lost");
    } else if (core::MayChangeOffers(uevent.subsystem)) {
      log::Debug(
          "uevent",
          {{"action", uevent.action}, {"path", uevent.devpath}, {"subsystem", uevent.subsystem}});
    } else {
      continue;
    }
    pacer_.Request();
  }
}

void Daemon::Rescan() {
  broker_->Rescan();
  log::Debug("rescanned");
  ::malloc_trim(0);
}

// Its thread uses this object, so the loop runs until it is done.
void Daemon::RunAside(std::function<void()> work, std::function<void()> done) {
  ++aside_;
  os::RunDetached([this, work = std::move(work), done = std::move(done)] {
    work();
    loop_->Post([this, done] {
      --aside_;
      if (draining_) {
        PartStopped();
      } else {
        done();
      }
    });
  });
}

void Daemon::Drain() {
  if (std::exchange(draining_, true)) return;
  // What blocks in the kernel cannot be ended, and waits for no deadline.
  loop_->CallAfter(kDriverDeadline, [this] {
    if (aside_ == 0) return;
    log::Warning("driver not waited for",
                 {{"reason", base::Reason::kDriverBlocks}, {"changes", aside_}});
    ::_exit(0);
  });
  pacer_.Stop();
  uevents_.reset();
  config_watch_.reset();
  for (std::size_t resource = 0; resource < plugins_.size(); ++resource) Retire(resource);
  running_parts_ = 1 + retired_.size() + aside_;  // the list of pods and the plugins
  if (node_hook_) {
    ++running_parts_;
    node_hook_->Stop([this] { PartStopped(); });
  }
  if (admin_) {
    ++running_parts_;
    admin_->Stop([this] { PartStopped(); });
  }
  broker_->Drain();
  pods_.Stop([this] { PartStopped(); });
}

void Daemon::PartStopped() {
  if (--running_parts_ == 0) loop_->Stop();
}

}  // namespace

absl::StatusOr<std::unique_ptr<App>> App::Create(const Options& options, core::Config config) {
  ASSIGN_OR_RETURN(auto sysfs, sysfs::SysfsRoot::Open(options.sysfs_root));
  ASSIGN_OR_RETURN(auto loop, os::EventLoop::Create());
  auto daemon = std::make_unique<Daemon>(options, std::move(loop), std::move(sysfs));
  daemon->ReceiveUevents();
  RETURN_IF_ERROR(daemon->CreateBroker(std::move(config)));
  return daemon;
}

}  // namespace dp::app
