// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller_app/program.h"

#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plugin/base/log.h"
#include "plugin/cli/process.h"
#include "plugin/config/config_file.h"
#include "plugin/config/config_watch.h"
#include "plugin/controller/controller.h"
#include "plugin/controller/lease.h"
#include "plugin/controller/pass.h"
#include "plugin/controller/permits.h"
#include "plugin/controller_app/options.h"
#include "plugin/kube/rest_api.h"
#include "plugin/metrics/controller_metrics.h"
#include "plugin/os/event_loop.h"
#include "plugin/os/signal_fd.h"

namespace dp::controller_app {
namespace {

int Fail(int exit_code, const absl::Status& status) {
  fmt::print(stderr, "vfio-doorbell-controller: {}\n", std::string(status.message()));
  return exit_code;
}

void LogRemarks(const std::vector<controller::Remark>& remarks, const char* message) {
  for (const controller::Remark& remark : remarks) {
    log::Warning(message, {{"reason", remark.reason},
                           {"resource", remark.resource},
                           {"line", remark.line},
                           {"text", remark.text}});
  }
}

// The program's parts, in the order in which they need each other.
class Program {
 public:
  explicit Program(const Options& options)
      : options_(options),
        api_({.url = options.api_server.url,
              .token_file = options.api_server.token_file,
              .ca_file = options.api_server.ca_file,
              .user_agent = "vfio-doorbell-controller"}),
        lease_(api_,
               {.space = options.lease_namespace,
                .name = options.lease_name,
                .identity = options.identity},
               options.lease_duration,
               {.steady = std::chrono::steady_clock::now, .wall = std::chrono::system_clock::now}),
        pass_(api_, lease_, {.space = options.kubevirt_namespace, .name = options.kubevirt_name}) {}

  int DryRun(const core::Config& config);
  int Once(const core::Config& config);
  int Serve(const core::Config& config);

 private:
  std::vector<controller::Permit> Wanted(const core::Config& config);
  void Reload(controller::Controller& controller);
  void Show(const controller::Outcome& outcome);

  const Options& options_;
  kube::RestApi api_;
  controller::Lease lease_;
  controller::Pass pass_;
  std::vector<controller::Remark> told_;  // of the configuration
  std::string last_refusal_;
  std::size_t permits_ = 0;
  std::unique_ptr<metrics::ControllerMetrics> metrics_;  // null: none are shown
};

// Says what is wrong with it once, also if it is read again.
std::vector<controller::Permit> Program::Wanted(const core::Config& config) {
  if (options_.disable) return {};
  controller::Permits permits = controller::PermitsOf(config);
  const auto is_told = [&](const controller::Remark& remark) {
    return std::find(told_.begin(), told_.end(), remark) != told_.end();
  };
  std::vector<controller::Remark> all = permits.refused;
  all.insert(all.end(), permits.warnings.begin(), permits.warnings.end());
  std::erase_if(permits.refused, is_told);
  std::erase_if(permits.warnings, is_told);
  LogRemarks(permits.refused, "resource left out");
  LogRemarks(permits.warnings, "resource to be known");
  told_ = std::move(all);
  permits_ = permits.permits.size();
  return permits.permits;
}

int Program::DryRun(const core::Config& config) {
  controller::Outcome outcome;
  const auto patch = pass_.Preview(Wanted(config), outcome);
  LogRemarks(outcome.remarks, "KubeVirt's CR");
  for (const std::string& resource : outcome.waiting) {
    log::Info("waiting for a node", {{"resource", resource}});
  }
  fmt::print("{}\n", patch.dump(2));
  if (outcome.state == controller::State::kInStep) return kExitOk;
  return Fail(kExitFailure, absl::UnavailableError(outcome.text));
}

int Program::Once(const core::Config& config) {
  const controller::Outcome outcome = pass_.Run(Wanted(config));
  LogRemarks(outcome.remarks, "KubeVirt's CR");
  const absl::Status released = lease_.Release();
  if (!released.ok()) log::Info("lease not given back", {{"reason", "lease"}, {"error", released}});
  // Without KubeVirt there is nothing to be taken back: whoever uninstalls has removed it before.
  if (options_.disable && outcome.state == controller::State::kNoKubeVirt) {
    log::Info("nothing to take back", {{"text", outcome.text}});
    return kExitOk;
  }
  if (outcome.state != controller::State::kInStep) {
    return Fail(kExitFailure, absl::UnavailableError(outcome.text));
  }
  log::Info("in step", {{"patched", outcome.patched}, {"waiting", outcome.waiting.size()}});
  return kExitOk;
}

void Program::Reload(controller::Controller& controller) {
  auto config = config::LoadConfigFile(options_.config);
  if (config.ok()) {
    last_refusal_.clear();
    log::Info("configuration read", {{"resources", config->resources.size()}});
    controller.Want(Wanted(*config));
    return;
  }
  // A folder that changes in several steps is read as often. What is in force stays.
  if (last_refusal_ == std::string(config.status().message())) return;
  last_refusal_ = std::string(config.status().message());
  log::Error("configuration refused", {{"reason", "config_invalid"}, {"error", config.status()}});
}

void Program::Show(const controller::Outcome& outcome) {
  if (!metrics_) return;
  const controller::Counters& counters = pass_.counters();
  metrics_->Set({.state = controller::NameOf(outcome.state),
                 .passes = counters.passes,
                 .patches = counters.patches,
                 .conflicts = counters.conflicts,
                 .failures = counters.failures,
                 .permits = permits_,
                 .waiting = outcome.waiting.size()});
}

int Program::Serve(const core::Config& config) {
  auto loop = os::EventLoop::Create();
  if (!loop.ok()) return Fail(kExitFailure, loop.status());
  controller::Controller controller(**loop, pass_, lease_,
                                    {.interval = options_.interval,
                                     .first_retry = std::chrono::seconds(1),
                                     .longest_retry = std::chrono::seconds(60),
                                     .deadline = std::chrono::seconds(60)},
                                    {.cancel = [this] { api_.Cancel(); },
                                     .reopen = [this] { api_.Reopen(); },
                                     .passed =
                                         [this](const controller::Outcome& outcome) {
                                           Show(outcome);
                                           // A pass needs memory for a moment.
                                           ::malloc_trim(0);
                                         }});
  // Before there is another thread, which inherits the blocked signals.
  auto signals = os::SignalFd::Create(**loop, {SIGTERM, SIGINT, SIGHUP}, [&](int signal) {
    if (signal == SIGHUP) {
      Reload(controller);
      return;
    }
    log::Info("ending", {{"signal", signal}});
    controller.Stop([&loop] { (*loop)->Stop(); });
  });
  if (!signals.ok()) return Fail(kExitFailure, signals.status());
  if (!options_.metrics_address.empty()) {
    auto metrics =
        metrics::ControllerMetrics::Create(options_.metrics_address, controller::StateNames());
    if (!metrics.ok()) return Fail(kExitFailure, metrics.status());
    metrics_ = *std::move(metrics);
  }
  auto watch = config::ConfigWatch::Create(**loop, options_.config, [&] { Reload(controller); });
  if (!watch.ok()) {
    log::Warning("configuration not watched", {{"reason", "no_watch"}, {"error", watch.status()}});
  }
  log::Info("serving", {{"api_server", options_.api_server.url},
                        {"identity", options_.identity},
                        {"disabled", options_.disable}});
  controller.Want(Wanted(config));
  (*loop)->Run();
  return kExitOk;
}

}  // namespace

int RunProgram(int argc, const char* const* argv) {
  cli::PrepareProcess();
  // What a pass needs for a moment goes back to the system.
  ::mallopt(M_TRIM_THRESHOLD, 64 * 1024);
  const ParsedOptions parsed = ParseOptions(argc, argv);
  if (parsed.exit_code >= 0) return parsed.exit_code;
  const Options& options = parsed.options;
  log::Configure(*log::ParseLevel(options.log_level), *log::ParseFormat(options.log_format));

  const auto config = config::LoadConfigFile(options.config);
  if (!config.ok()) return Fail(kExitUsage, config.status());
  Program program(options);
  if (options.dry_run) return program.DryRun(*config);
  if (options.once) return program.Once(*config);
  return program.Serve(*config);
}

}  // namespace dp::controller_app
