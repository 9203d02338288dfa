// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "plugin/app/app.h"
#include "plugin/app/options.h"
#include "plugin/app/probe.h"
#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/cli/process.h"
#include "plugin/config/config_check.h"
#include "plugin/config/config_file.h"
#include "plugin/core/release.h"
#include "plugin/ledger/driver_file.h"
#include "plugin/os/boot_id.h"
#include "plugin/sysfs/group_scanner.h"
#include "plugin/sysfs/msi_window_file.h"
#include "plugin/sysfs/pci_driver_files.h"
#include "plugin/sysfs/sysfs_root.h"

namespace dp::app {
namespace {

int Fail(int exit_code, const absl::Status& status) {
  fmt::print(stderr, "vfio-doorbell-plugin: {}\n", std::string(status.message()));
  return exit_code;
}

absl::StatusOr<core::Inventory> ScanHost(const Options& options) {
  ASSIGN_OR_RETURN(const sysfs::SysfsRoot sysfs, sysfs::SysfsRoot::Open(options.sysfs_root));
  return sysfs::GroupScanner(sysfs).Scan();
}

int CheckConfig(const Options& options, const core::Config& config) {
  const auto said = config::CheckConfig(options.config, config, ScanHost(options));
  if (!said.ok()) return Fail(kExitUsage, said.status());
  fmt::print("{}\n", *said);
  return kExitOk;
}

// Prints what has been given back and what has not.
int ReleaseDrivers(const Options& options, const sysfs::SysfsRoot& sysfs,
                   const core::Inventory& inventory) {
  ledger::DriverFile store(options.data_dir);
  auto record = store.Load();
  if (absl::IsNotFound(record.status())) return kExitOk;
  if (!record.ok()) return Fail(kExitFailure, record.status());
  if (record->boot_id != os::ReadBootId()) return kExitOk;
  sysfs::PciDriverFiles drivers(sysfs, {.dev_root = options.dev_root, .root_argument = {}});
  int exit_code = kExitOk;
  for (const core::ReleasedDrivers& group : core::ReleaseDrivers(inventory, drivers, *record)) {
    const std::vector<std::string>& stuck = group.change.stuck;
    for (const core::DriverState& state : group.former) {
      const std::string driver = state.driver.empty() ? "no driver" : state.driver;
      if (std::find(stuck.begin(), stuck.end(), state.address) == stuck.end()) {
        fmt::print("released {} to {}\n", state.address, driver);
      } else {
        exit_code = kExitFailure;
        fmt::print("held     {}, once on {}: {}\n", state.address, driver,
                   std::string(group.change.status.message()));
      }
    }
  }
  const absl::Status saved = store.Save(*record);
  return saved.ok() ? exit_code : Fail(kExitFailure, saved);
}

int Release(const Options& options, const core::Config& config) {
  const auto sysfs = sysfs::SysfsRoot::Open(options.sysfs_root);
  if (!sysfs.ok()) return Fail(kExitFailure, sysfs.status());
  sysfs::GroupScanner scanner(*sysfs);
  sysfs::MsiWindowFile knob(*sysfs);
  const auto inventory = scanner.Scan();
  if (!inventory.ok()) return Fail(kExitFailure, inventory.status());
  int exit_code = kExitOk;
  for (const core::ReleasedGroup& group : core::ReleaseAll(*inventory, config.pool, knob)) {
    const std::string name = fmt::format("{} (IOMMU group {})", group.device, group.group);
    const std::string window = core::FormatWindow(group.window);
    if (group.status.ok()) {
      fmt::print("released {} of {}\n", window, name);
    } else {
      exit_code = kExitFailure;
      fmt::print("held     {} of {}: {}\n", window, name, std::string(group.status.message()));
    }
  }
  exit_code = std::max(exit_code, ReleaseDrivers(options, *sysfs, *inventory));
  for (const core::Skipped& skipped : inventory->skipped) {
    exit_code = kExitFailure;
    fmt::print("unknown  {}: {}\n", sysfs->PathOf(skipped.path), skipped.reason);
  }
  return exit_code;
}

int Serve(const Options& options, core::Config config) {
  auto app = App::Create(options, std::move(config));
  if (!app.ok()) {
    return Fail(absl::IsInvalidArgument(app.status()) ? kExitUsage : kExitFailure, app.status());
  }
  const absl::Status status = (*app)->Run();
  return status.ok() ? kExitOk : Fail(kExitFailure, status);
}

}  // namespace

int RunProgram(int argc, const char* const* argv) {
  cli::PrepareProcess();
  const ParsedOptions parsed = ParseOptions(argc, argv);
  if (parsed.exit_code >= 0) return parsed.exit_code;
  const Options& options = parsed.options;
  log::Configure(*log::ParseLevel(options.log_level), *log::ParseFormat(options.log_format));

  if (options.action == Options::Action::kProbe) {
    const absl::Status status = Probe(options.admin_socket, options.probe);
    return status.ok() ? kExitOk : Fail(kExitFailure, status);
  }
  auto config = config::LoadConfigFile(options.config);
  if (!config.ok()) return Fail(kExitUsage, config.status());
  switch (options.action) {
    case Options::Action::kCheckConfig:
      return CheckConfig(options, *config);
    case Options::Action::kRelease:
      return Release(options, *config);
    case Options::Action::kProbe:
      break;
    case Options::Action::kServe:
      return Serve(options, *std::move(config));
  }
  return kExitFailure;
}

}  // namespace dp::app
