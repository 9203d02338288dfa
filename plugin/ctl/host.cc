// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/host.h"

#include <fmt/format.h>

#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/config/config_file.h"
#include "plugin/ctl/admin_client.h"
#include "plugin/ctl/recorded_node.h"
#include "plugin/ledger/ledger_json.h"
#include "plugin/os/file.h"
#include "plugin/sysfs/group_scanner.h"
#include "plugin/sysfs/sysfs_root.h"

namespace dp::ctl {
namespace {

std::string Sentence(const absl::Status& status) { return std::string(status.message()); }

// Without a daemon that answers.
Reading ReadRecords(const Places& places, core::Inventory inventory) {
  Reading reading;
  Records records{.ledger = {}, .config = {}, .host = {}, .boot_id = ReadBootId()};
  auto ledger = ReadLedger(places.data_dir);
  if (ledger.ok()) {
    records.ledger = *std::move(ledger);
  } else if (absl::IsNotFound(ledger.status())) {
    reading.notes.push_back(Sentence(ledger.status()) + ": nothing was handed over yet");
  } else {
    reading.notes.push_back(Sentence(ledger.status()));
    reading.is_complete = false;
  }
  auto config = config::LoadConfigFile(places.config);
  if (config.ok()) {
    records.config = *std::move(config);
  } else {
    reading.notes.push_back("what is offered is not known: " + Sentence(config.status()));
  }
  records.host = std::move(inventory);
  reading.node = NodeFrom(records);
  reading.inventory = std::move(records.host);
  return reading;
}

}  // namespace

std::string ReadBootId() {
  constexpr std::size_t kLength = 64;
  auto text = os::ReadFile("/proc/sys/kernel/random/boot_id", kLength);
  if (!text.ok()) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *std::move(text);
}

absl::StatusOr<core::Ledger> ReadLedger(const std::string& data_dir) {
  const std::string path = data_dir + "/ledger.json";
  ASSIGN_OR_RETURN(const std::string text, os::ReadFile(path, ledger::kMaxBytes));
  auto ledger = ledger::Decode(text);
  if (!ledger.ok()) {
    return absl::DataLossError(
        fmt::format("{} is not readable: {}", path, Sentence(ledger.status())));
  }
  return ledger;
}

absl::StatusOr<core::Inventory> ReadInventory(const std::string& sysfs_root) {
  ASSIGN_OR_RETURN(const sysfs::SysfsRoot root, sysfs::SysfsRoot::Open(sysfs_root));
  return sysfs::GroupScanner(root).Scan();
}

absl::StatusOr<Reading> ReadHost(const Places& places) {
  auto state = AskState(places.socket);
  auto inventory = ReadInventory(places.sysfs_root);
  Reading reading;
  if (state.ok()) {
    reading.node = *std::move(state);
    if (inventory.ok()) {
      reading.inventory = *std::move(inventory);
    } else {
      reading.notes.push_back("the kernel is not read: " + Sentence(inventory.status()));
    }
  } else {
    if (!inventory.ok()) {
      return absl::FailedPreconditionError(
          fmt::format("{}; {}", Sentence(state.status()), Sentence(inventory.status())));
    }
    reading = ReadRecords(places, *std::move(inventory));
    reading.notes.insert(
        reading.notes.begin(),
        fmt::format("the daemon does not answer ({}): this is from its ledger and the kernel",
                    Sentence(state.status())));
  }
  for (const core::Skipped& skipped : reading.inventory.skipped) {
    reading.notes.push_back(
        fmt::format("{}/{} {}", places.sysfs_root, skipped.path, skipped.reason));
  }
  AddKernel(reading.inventory, reading.node);
  return reading;
}

}  // namespace dp::ctl
