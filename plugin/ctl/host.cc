// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/host.h"

#include <fmt/format.h>

#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/config/config_file.h"
#include "plugin/ctl/daemon.h"
#include "plugin/ctl/facts.h"
#include "plugin/ctl/node_json.h"
#include "plugin/ctl/recorded_node.h"
#include "plugin/ctl/unpack.h"
#include "plugin/ledger/ledger_json.h"
#include "plugin/os/file.h"
#include "plugin/sysfs/group_scanner.h"
#include "plugin/sysfs/sysfs_root.h"

namespace dp::ctl {
namespace {

std::string Sentence(const absl::Status& status) { return std::string(status.message()); }

constexpr std::size_t kLongestCaptured = std::size_t{16} << 20;

// Of the daemon, or what it said when the archive was made.
absl::StatusOr<Node> ReadState(const Places& places) {
  if (places.captured.empty()) return AskState(places.socket);
  const auto text = os::ReadFile(places.captured + "/node.json", kLongestCaptured);
  if (!text.ok()) return absl::NotFoundError("the archive has no state of it");
  return NodeFromJson(*text);
}

Facts FactsOf(const Places& places) {
  if (places.captured.empty()) return ReadFacts(places);
  const auto text = os::ReadFile(places.captured + "/facts.json", kLongestCaptured);
  if (!text.ok()) return {};
  return FactsFromJson(*text).value_or(Facts{});
}

// Without a daemon that answers.
Reading ReadRecords(const Places& places, core::Inventory inventory) {
  Reading reading;
  Records records{.ledger = {}, .config = {}, .host = {}, .boot_id = FactsOf(places).boot_id};
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
  auto state = ReadState(places);
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

Evidence ReadEvidence(const Places& places) {
  auto state = ReadState(places);
  Evidence evidence{.facts = FactsOf(places),
                    .host = ReadInventory(places.sysfs_root),
                    .config = config::LoadConfigFile(places.config),
                    .ledger = ReadLedger(places.data_dir).status(),
                    .daemon = state.status(),
                    .node = {}};
  const core::Inventory host = evidence.host.ok() ? *evidence.host : core::Inventory();
  evidence.node = state.ok() ? *std::move(state) : ReadRecords(places, host).node;
  AddKernel(host, evidence.node);
  return evidence;
}

Places PlacesIn(const std::string& folder) {
  Places places;
  places.sysfs_root = folder;
  places.captured = fmt::format("{}/{}", folder, kOwnFolder);
  places.data_dir = places.captured;
  places.config = places.captured + "/config.yaml";
  return places;
}

}  // namespace dp::ctl
