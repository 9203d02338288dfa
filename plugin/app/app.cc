// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/app.h"

#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "plugin/app/admin.h"
#include "plugin/app/counting_knob.h"
#include "plugin/app/host_facts.h"
#include "plugin/app/node_hook.h"
#include "plugin/app/plugins.h"
#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/config/config_file.h"
#include "plugin/config/config_watch.h"
#include "plugin/core/device_broker.h"
#include "plugin/core/rescan_pacer.h"
#include "plugin/kubelet/pod_resources.h"
#include "plugin/ledger/driver_file.h"
#include "plugin/ledger/ledger_file.h"
#include "plugin/os/boot_id.h"
#include "plugin/os/event_loop.h"
#include "plugin/os/file.h"
#include "plugin/os/parallel.h"
#include "plugin/os/signal_fd.h"
#include "plugin/os/uevent_socket.h"
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
  absl::Status Serve();
  void WatchConfig();
  void Reload();
  void OnReconfigured(const absl::StatusOr<core::ConfigChange>& change);
  void RefuseConfig(base::Reason reason, const absl::Status& status);
  void OnRegistered();
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
  std::optional<Plugins> plugins_;  // once there is a broker
  std::unique_ptr<os::SignalFd> signals_;
  std::unique_ptr<NodeHook> node_hook_;  // null: not asked for
  std::unique_ptr<Admin> admin_;         // null: not yet
  const std::int64_t started_ms_ = timers_.WallMs();
  const std::string boot_id_ = os::ReadBootId();
  std::uint64_t config_generation_ = 1;
  std::string config_hash_;  // of the configuration in force
  std::unique_ptr<config::ConfigWatch> config_watch_;
  std::string last_refusal_;  // of a configuration; what was logged last
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
  plugins_.emplace(
      Plugins::Parts{
          .loop = *loop_, .timers = timers_, .broker = *broker_, .statistics = statistics_},
      Plugins::Events{.registered = [this] { OnRegistered(); },
                      .watched =
                          [this] {
                            if (admin_) admin_->Touch();
                          }});
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
  plugins_->Open(options_);
  broker_->NotifyChanges([this](std::size_t resource) { plugins_->SendList(resource); });
  server::PrepareGrpc(*loop_);
  const std::size_t resources = broker_->offers().size();
  for (std::size_t i = 0; i < resources; ++i) RETURN_IF_ERROR(plugins_->Add(i));
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
  for (std::size_t i = 0; i < resources; ++i) plugins_->Start(i);
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
  return {.version = VFIO_DOORBELL_VERSION,
          .boot_id = boot_id_,
          .started_ms = started_ms_,
          .config_file = options_.config,
          .config_generation = config_generation_,
          .config_hash = config_hash_,
          .config_error = last_refusal_,
          .kubelet_restarts = statistics_.kubelet_restarts,
          .resources = plugins_->Facts()};
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
    plugins_->Retire(resource);
  }
  for (const std::size_t resource : change->added) {
    const absl::Status status = plugins_->Add(resource);
    if (status.ok()) {
      plugins_->Start(resource);
    } else {
      log::Error("resource not served", {{"reason", base::Reason::kNotListening},
                                         {"resource", broker_->offers()[resource].resource},
                                         {"error", status}});
    }
  }
  log::Info("configuration read",
            {{"added", change->added.size()}, {"removed", change->removed.size()}});
}

// Much may have changed while there was no kubelet.
void Daemon::OnRegistered() {
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
  running_parts_ = 2 + aside_;  // the list of pods, and the plugins
  plugins_->Drain([this] { PartStopped(); });
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
