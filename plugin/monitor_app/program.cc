// SPDX-License-Identifier: Apache-2.0
#include "plugin/monitor_app/program.h"

#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "plugin/admin_client/admin_socket.h"
#include "plugin/admin_client/state_watch.h"
#include "plugin/base/log.h"
#include "plugin/cli/process.h"
#include "plugin/monitor/daemon_check.h"
#include "plugin/monitor/facts_of_state.h"
#include "plugin/monitor/http_server.h"
#include "plugin/monitor/pages.h"
#include "plugin/monitor_app/options.h"
#include "plugin/os/event_loop.h"
#include "plugin/os/signal_fd.h"
#include "plugin/server/quiet_grpc.h"
#include "plugin/status/wire/kubernetes_status.h"

namespace dp::monitor_app {
namespace {

int Fail(int exit_code, const absl::Status& status) {
  fmt::print(stderr, "vfio-doorbell-monitor: {}\n", std::string(status.message()));
  return exit_code;
}

// The program's parts, in the order in which they need each other. What reports to the API server
// is a StateObserver that is added to `watch_`.
class Program {
 public:
  Program(os::EventLoop& loop, const Options& options)
      : loop_(loop),
        options_(options),
        admin_(loop, options.admin_socket),
        watch_(loop, admin_, {}),
        check_(admin_, {}) {
    watch_.Add(facts_);
    if (options.status.node.empty()) return;
    status_ = std::make_unique<status::wire::KubernetesStatus>(
        loop,
        kube::Server{.url = options.api_server.url,
                     .token_file = options.api_server.token_file,
                     .ca_file = options.api_server.ca_file,
                     .user_agent = "vfio-doorbell-monitor"},
        options.status, [this](const status::Outcome& outcome) {
          told_ = outcome.counters;
          ::malloc_trim(0);
        });
    watch_.Add(*status_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (closer_.joinable()) closer_.join();
  }

  absl::Status Start() {
    auto server = monitor::HttpServer::Create(options_.http_address,
                                              monitor::MakePages({.loop = loop_,
                                                                  .admin = admin_,
                                                                  .check = check_,
                                                                  .watch = watch_,
                                                                  .facts = facts_,
                                                                  .api_calls = ApiCalls()},
                                                                 {}));
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    log::Info("listening", {{"address", monitor::FormatHttpAddress(server_->address())},
                            {"admin_socket", options_.admin_socket},
                            {"version", VFIO_DOORBELL_VERSION}});
    watch_.Start();
    return absl::OkStatus();
  }

  void Stop() {
    if (std::exchange(stopping_, true)) return;
    watch_.Stop();
    if (status_) {
      status_->Stop([this] { Close(); });
    } else {
      Close();
    }
  }

 private:
  // By result, for the metric; null: there are none.
  std::function<std::map<std::string, std::uint64_t>()> ApiCalls() {
    if (!status_ || !TellsApiServer(options_.status)) return {};
    return [this] {
      return std::map<std::string, std::uint64_t>{{"ok", told_.calls - told_.failures},
                                                  {"failed", told_.failures}};
    };
  }

  // Pages wait for the loop, so they end while it turns.
  void Close() {
    closer_ = std::thread([this] {
      server_.reset();
      loop_.Post([this] { admin_.Stop([this] { loop_.Stop(); }); });
    });
  }

  os::EventLoop& loop_;
  const Options& options_;
  admin_client::AdminSocket admin_;
  admin_client::StateWatch watch_;
  monitor::FactsOfState facts_;
  monitor::DaemonCheck check_;
  std::unique_ptr<status::wire::KubernetesStatus> status_;  // null: Kubernetes is not told
  status::Counters told_;
  bool stopping_ = false;
  std::unique_ptr<monitor::HttpServer> server_;
  std::thread closer_;
};

}  // namespace

int RunProgram(int argc, const char* const* argv) {
  cli::PrepareProcess();
  // What a state or a scrape needs for a moment goes back to the system.
  ::mallopt(M_TRIM_THRESHOLD, 64 * 1024);
  const ParsedOptions parsed = ParseOptions(argc, argv);
  if (parsed.exit_code >= 0) return parsed.exit_code;
  const Options& options = parsed.options;
  log::Configure(*log::ParseLevel(options.log_level), *log::ParseFormat(options.log_format));

  const auto loop = os::EventLoop::Create();
  if (!loop.ok()) return Fail(kExitFailure, loop.status());
  std::unique_ptr<Program> program;
  // Before there is another thread, which inherits the blocked signals.
  const auto signals = os::SignalFd::Create(**loop, {SIGTERM, SIGINT}, [&program](int signal) {
    log::Info("ending", {{"signal", signal}});
    program->Stop();
  });
  if (!signals.ok()) return Fail(kExitFailure, signals.status());
  server::PrepareGrpc(**loop);
  server::KeepGrpc();
  server::StopGrpcTimers();
  program = std::make_unique<Program>(**loop, options);
  if (const absl::Status status = program->Start(); !status.ok()) {
    return Fail(kExitFailure, status);
  }
  (*loop)->Run();
  return kExitOk;
}

}  // namespace dp::monitor_app
