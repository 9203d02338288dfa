// SPDX-License-Identifier: Apache-2.0
#include "plugin/checker/program.h"

#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/checker/check.h"
#include "plugin/checker/hook_server.h"
#include "plugin/checker/options.h"
#include "plugin/checker/sysfs_groups.h"
#include "plugin/cli/process.h"
#include "plugin/domain/xml.h"
#include "plugin/os/event_loop.h"
#include "plugin/os/input.h"
#include "plugin/os/signal_fd.h"
#include "plugin/os/unix_listener.h"
#include "plugin/sysfs/sysfs_root.h"

namespace dp::checker {
namespace {

// Calls under way when it is to end; a check takes a few milliseconds.
constexpr std::chrono::seconds kPatience{2};
// Whoever reaches the socket may ask: virt-launcher and the sidecar need not have one user, and
// there is nothing to be had but a verdict.
constexpr mode_t kSocketMode = 0666;

std::uint64_t RandomNumber() {
  std::random_device random;
  return std::uint64_t{random()} << 32 | random();
}

int Fail(int exit_code, const absl::Status& status) {
  fmt::print(stderr, "vfio-doorbell-checker: {}\n", std::string(status.message()));
  return exit_code;
}

FindGroup GroupsIn(const sysfs::SysfsRoot& sysfs) {
  return [&sysfs](core::PciAddress address) { return ReadGroupOf(sysfs, address); };
}

void Print(const Report& report) {
  for (const guest::Range& range : report.map) {
    fmt::print("{:<32} {}\n", guest::FormatRange(range.start, range.end),
               guest::UseName(range.use));
  }
  for (const Device& device : report.devices) {
    fmt::print("{:<32} {}, IOMMU group {}\n",
               device.window ? guest::FormatRange(device.window->base,
                                                  device.window->base + device.window->size)
                             : "no window",
               core::FormatPciAddress(device.address), device.group);
  }
  for (const std::string& warning : report.warnings) fmt::print("warning: {}\n", warning);
}

int CheckFile(const std::string& path, const sysfs::SysfsRoot& sysfs) {
  const auto xml = os::ReadFileOrInput(path, domain::kMostBytes);
  if (!xml.ok()) return Fail(kExitUsage, xml.status());
  const auto report = CheckXml(*xml, GroupsIn(sysfs));
  if (absl::IsInvalidArgument(report.status())) {
    return Fail(kExitUsage, absl::InvalidArgumentError(fmt::format(
                                "{}: {}", path, std::string(report.status().message()))));
  }
  if (!report.ok()) {
    fmt::print("refused: {}\n", std::string(report.status().message()));
    return kExitFailure;
  }
  Print(*report);
  fmt::print("accepted\n");
  return kExitOk;
}

absl::Status JudgeAndLog(std::string_view xml, const FindGroup& find_group) {
  const auto domain = domain::ParseDomain(xml);
  if (!domain.ok()) {
    log::Warning("domain not understood", {{"error", domain.status()}});
    return domain.status();
  }
  const auto report = Check(*domain, find_group);
  if (!report.ok()) {
    log::Warning("domain refused", {{"domain", domain->name}, {"reason", report.status()}});
    return report.status();
  }
  for (const std::string& warning : report->warnings)
    log::Warning("domain accepted", {{"domain", domain->name}, {"but", warning}});
  log::Info("domain accepted", {{"domain", domain->name}, {"devices", report->devices.size()}});
  return absl::OkStatus();
}

absl::Status Serve(const Options& options, const sysfs::SysfsRoot& sysfs) {
  ASSIGN_OR_RETURN(const std::unique_ptr<os::EventLoop> loop, os::EventLoop::Create());
  // Before gRPC has threads.
  ASSIGN_OR_RETURN(const std::unique_ptr<os::SignalFd> signals,
                   os::SignalFd::Create(*loop, {SIGTERM, SIGINT}, [&loop](int signal) {
                     log::Info("stopping", {{"signal", signal}});
                     loop->Stop();
                   }));
  const FindGroup find_group = GroupsIn(sysfs);
  ASSIGN_OR_RETURN(const std::unique_ptr<HookServer> server,
                   HookServer::Create([&find_group](std::string_view xml) {
                     return JudgeAndLog(xml, find_group);
                   }));
  auto listener = os::UnixListener::Create(
      *loop, options.socket, kSocketMode,
      [&server](base::UniqueFd client) { server->Serve(std::move(client)); });
  if (listener.ok()) {
    log::Info("listening", {{"socket", options.socket}, {"version", VFIO_DOORBELL_VERSION}});
    loop->Run();
    listener->reset();
  }
  server->Shutdown(kPatience);
  return listener.status();
}

}  // namespace

int RunProgram(int argc, const char* const* argv) {
  cli::PrepareProcess();
  const ParsedOptions parsed = ParseOptions(argc, argv, RandomNumber());
  if (parsed.exit_code >= 0) return parsed.exit_code;
  const Options& options = parsed.options;
  log::Configure(*log::ParseLevel(options.log_level), log::Format::kText);
  const auto sysfs = sysfs::SysfsRoot::Open(options.sysfs_root);
  if (!sysfs.ok()) return Fail(kExitFailure, sysfs.status());
  if (!options.check.empty()) return CheckFile(options.check, *sysfs);
  const absl::Status status = Serve(options, *sysfs);
  return status.ok() ? kExitOk : Fail(kExitFailure, status);
}

}  // namespace dp::checker
