// SPDX-License-Identifier: Apache-2.0
#include "plugin/server/quiet_grpc.h"

#include <absl/functional/any_invocable.h>
#include <grpc/event_engine/event_engine.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>

#include <memory>
#include <string_view>
#include <utility>

#include "plugin/base/log.h"

// gRPC looks at its timers at least once a second, with one thread for its older timers and another
// one for those of its EventEngine, whether there is any timer or not. A daemon that wakes up every
// second on every node for nothing keeps processors out of their deep sleep. Nothing here depends
// on a timer of gRPC: sockets are local, so there is no keepalive, and the time-outs are the
// loop's.

// src/core/lib/iomgr/timer_manager.h: gRPC's own fork handlers stop and start its timer threads by
// it.
void grpc_timer_manager_set_threading(bool enabled);  // NOLINT(readability-identifier-naming)

namespace dp::server {
namespace {

using grpc_event_engine::experimental::EventEngine;

// gRPC 1.51 wants an EventEngine to exist and uses it for nothing that we do. The default one
// starts three threads. This one runs tasks on our loop, should there ever be one.
class LoopEventEngine final : public EventEngine {
 public:
  explicit LoopEventEngine(os::EventLoop& loop) : loop_(loop) {}

  void Run(Closure* closure) override {
    loop_.Post([closure] { closure->Run(); });
  }
  void Run(absl::AnyInvocable<void()> closure) override {
    loop_.Post([shared = std::make_shared<absl::AnyInvocable<void()>>(std::move(closure))] {
      (*shared)();
    });
  }
  TaskHandle RunAfter(Duration when, Closure* closure) override {
    loop_.Post([this, when, closure] { loop_.CallAfter(when, [closure] { closure->Run(); }); });
    return {};
  }
  TaskHandle RunAfter(Duration when, absl::AnyInvocable<void()> closure) override {
    auto shared = std::make_shared<absl::AnyInvocable<void()>>(std::move(closure));
    loop_.Post([this, when, shared] { loop_.CallAfter(when, [shared] { (*shared)(); }); });
    return {};
  }
  // False: it runs all the same, which the interface allows.
  bool Cancel(TaskHandle /*handle*/) override { return false; }

  // The rest is for a gRPC that does its networking through the engine; 1.51 does not.
  absl::StatusOr<std::unique_ptr<Listener>> CreateListener(
      Listener::AcceptCallback /*on_accept*/,
      absl::AnyInvocable<void(absl::Status)> /*on_shutdown*/,
      const grpc_event_engine::experimental::EndpointConfig& /*config*/,
      std::unique_ptr<grpc_event_engine::experimental::MemoryAllocatorFactory> /*memory*/)
      override {
    return absl::UnimplementedError("no listener");
  }
  ConnectionHandle Connect(OnConnectCallback on_connect, const ResolvedAddress& /*address*/,
                           const grpc_event_engine::experimental::EndpointConfig& /*config*/,
                           grpc_event_engine::experimental::MemoryAllocator /*memory*/,
                           Duration /*timeout*/) override {
    on_connect(absl::UnimplementedError("no connection"));
    return {};
  }
  bool CancelConnect(ConnectionHandle /*handle*/) override { return false; }
  bool IsWorkerThread() override { return false; }
  std::unique_ptr<DNSResolver> GetDNSResolver(
      const DNSResolver::ResolverOptions& /*options*/) override {
    return nullptr;
  }

 private:
  os::EventLoop& loop_;
};

// What gRPC has to say goes where everything else is said.
void Log(gpr_log_func_args* record) {
  const std::string_view text(record->message);
  if (record->severity == GPR_LOG_SEVERITY_ERROR) {
    log::Warning("grpc", {{"text", text}});
  } else {
    log::Debug("grpc", {{"text", text}});
  }
}

}  // namespace

void PrepareGrpc(os::EventLoop& loop) {
  gpr_set_log_function(&Log);
  grpc_event_engine::experimental::SetEventEngineFactory(
      [&loop] { return std::make_unique<LoopEventEngine>(loop); });
}

void KeepGrpc() { grpc_init(); }

void StopGrpcTimers() { grpc_timer_manager_set_threading(false); }

}  // namespace dp::server
