// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/binder.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"

// How a group is bound: claim what the host could use of it (beside the loop), record the drivers
// it has, bind (beside the loop). The record is on disk before the first write to sysfs, and an
// entry leaves it only when its function is back where it was, so a daemon that is killed anywhere
// knows what to give back.
//
// An entry stays the same for as long as its function has our driver_override: what is bound again
// after a crash would otherwise be recorded as half-way. Without that, somebody else has decided
// about the function since, and what it has now is what it is to get back.

namespace dp::core {

struct Binder::Work {
  Task task;
  absl::StatusOr<ClaimedFunctions> claimed = absl::UnknownError("not claimed yet");
  DriverChange change;
};

namespace {

std::string FactsOf(const Group& group) {
  std::string facts;
  for (const Function& function : group.functions) {
    facts += fmt::format("{} {}\n", function.name, function.driver);
  }
  return facts;
}

// Why the group cannot be bound whatever its users do; empty: it can.
std::string ObstacleOf(const Group& group) {
  for (const Function& function : group.functions) {
    if (function.pci || function.driver.empty() || IsOnVfioDriver(function)) continue;
    return fmt::format("{} in the same IOMMU group is no PCI function, and on driver {}",
                       function.name, function.driver);
  }
  return {};
}

}  // namespace

absl::Status Binder::Open() {
  auto record = tools_.store.Load();
  if (absl::IsNotFound(record.status())) return absl::OkStatus();
  if (absl::IsDataLoss(record.status())) {
    log::Error("former drivers unknown",
               {{"reason", base::Reason::kDriversUnreadable}, {"error", record.status()}});
    return absl::OkStatus();
  }
  if (!record.ok()) return record.status();
  // A boot gives every function its driver anew, and knows no driver_override.
  if (record->boot_id != tools_.boot_id) return absl::OkStatus();
  for (DriverState& state : record->former) {
    std::string address = state.address;
    former_.emplace(std::move(address), std::move(state));
  }
  return absl::OkStatus();
}

bool Binder::is_needed() const {
  const auto& resources = tools_.config.resources;
  return !former_.empty() ||
         std::any_of(resources.begin(), resources.end(), [](const Resource& resource) {
           return std::any_of(resource.selectors.begin(), resource.selectors.end(),
                              [](const Selector& selector) { return selector.bind; });
         });
}

void Binder::AddTask(const Group& group, bool is_group) {
  Task task{.device = DeviceIdOf(group),
            .group = is_group ? std::optional(group.number) : std::nullopt,
            .addresses = {},
            .former = {},
            .facts = FactsOf(group)};
  // What is seen of a group that is just being changed is of no use afterwards.
  if (task.device.empty() || changing_.contains(task.device)) return;
  const bool is_wanted = std::any_of(
      group.functions.begin(), group.functions.end(),
      [this](const Function& function) { return AsksToBind(tools_.config.resources, function); });
  for (const Function& function : group.functions) {
    if (!function.pci || function.is_bridge()) continue;
    const auto former = former_.find(function.name);
    if (is_wanted && !IsOnVfioDriver(function)) task.addresses.push_back(function.name);
    if (!is_wanted && former != former_.end()) task.former.push_back(former->second);
  }
  if (task.addresses.empty() && task.former.empty()) {
    refusals_.erase(task.device);
    return;
  }
  const std::string obstacle = task.binds() ? ObstacleOf(group) : std::string();
  if (obstacle.empty()) {
    tasks_.push_back(std::move(task));
  } else if (IsDue(task)) {
    Refuse(task, base::Reason::kNotBound, obstacle, kAgain);
  }
}

// Functions that have left the host took their drivers along. One that is in no group may be in one
// that cannot be read at the moment.
void Binder::DropVanished(const Inventory& inventory) {
  std::set<std::string_view> seen;
  for (const Group& group : inventory.groups) {
    for (const Function& function : group.functions) seen.insert(function.name);
  }
  std::vector<DriverState> gone;
  for (const auto& [address, state] : former_) {
    if (!seen.contains(address) && absl::IsNotFound(tools_.drivers.Read(address).status()))
      gone.push_back(state);
  }
  if (gone.empty()) return;
  if (const absl::Status status = Erase(gone, {}); !status.ok()) {
    log::Error("former drivers not recorded",
               {{"reason", base::Reason::kDriversNotRecorded}, {"error", status}});
  }
}

bool Binder::IsDue(const Task& task) const {
  if (changing_.contains(task.device)) return false;
  const auto refusal = refusals_.find(task.device);
  return refusal == refusals_.end() || refusal->second.facts != task.facts ||
         refusal->second.binds != task.binds() || refusal->second.until <= tools_.timers.Now();
}

void Binder::Look(const Inventory& inventory) {
  if (stopped_ || !is_needed()) return;
  DropVanished(inventory);
  tasks_.clear();
  for (const Group& group : inventory.groups) AddTask(group, true);
  for (Function& function : tools_.scanner.ScanUngrouped()) {
    Group alone;
    alone.functions.push_back(std::move(function));
    AddTask(alone, false);
  }
  Next();
}

void Binder::Next() {
  while (!stopped_ && !running_ && !tasks_.empty()) {
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    if (!IsDue(task)) continue;
    if (!task.binds() && tools_.is_reserved(task.device)) {
      Refuse(task, base::Reason::kDriverHeld, "a pod holds it", kAgain);
    } else {
      Begin(std::move(task));
    }
  }
  if (!stopped_ && !running_ && std::exchange(is_scan_due_, false)) tools_.scan();
}

// Takes care that `then` finds the daemon as it was, and that a driver that never lets go holds up
// no other group.
void Binder::Run(const std::shared_ptr<Work>& work, std::function<void()> step,
                 std::function<void()> then) {
  tools_.aside(std::move(step), [this, then = std::move(then)] {
    if (!stopped_) then();
  });
  tools_.timers.CallAfter(kPatience, [this, watched = std::weak_ptr<Work>(work)] {
    const auto late = watched.lock();
    if (stopped_ || !late || running_ != late->task.device) return;
    log::Error("driver does not let go", {{"reason", base::Reason::kDriverBlocks},
                                          {"device", late->task.device},
                                          {"seconds", std::chrono::seconds(kPatience).count()}});
    changing_[late->task.device] =
        fmt::format("its driver has not let go for {} s", std::chrono::seconds(kPatience).count());
    running_.reset();
    tools_.scan();
  });
}

void Binder::Begin(Task task) {
  running_ = task.device;
  changing_[task.device] = "its driver is being changed";
  auto work = std::make_shared<Work>();
  work->task = std::move(task);
  if (!work->task.binds()) {
    Run(
        work,
        [&drivers = tools_.drivers, work] {
          work->change = RestoreFunctions(drivers, work->task.group, work->task.former);
        },
        [this, work] { EndRestore(work); });
    return;
  }
  Run(
      work,
      [&drivers = tools_.drivers, work] {
        work->claimed = ClaimFunctions(drivers, work->task.addresses);
      },
      [this, work] { Bind(work); });
}

void Binder::Bind(const std::shared_ptr<Work>& work) {
  Task& task = work->task;
  if (!work->claimed.ok()) {
    Refuse(task, base::Reason::kDriverHeld, std::string(work->claimed.status().message()), kAgain);
    Finish(task);
    return;
  }
  auto record = former_;
  for (const DriverState& state : work->claimed->states) {
    const auto [known, is_new] = record.try_emplace(state.address, state);
    if (state.driver_override != kVfioPci) known->second = state;
    task.former.push_back(known->second);
  }
  if (const absl::Status status = Save(std::move(record)); !status.ok()) {
    Refuse(task, base::Reason::kDriversNotRecorded, std::string(status.message()), kAgain);
    Finish(task);
    return;
  }
  Run(
      work,
      [&drivers = tools_.drivers, work] {
        work->change = BindFunctions(drivers, *std::move(work->claimed), work->task.former);
      },
      [this, work] { EndBind(work); });
}

void Binder::EndBind(const std::shared_ptr<Work>& work) {
  const Task& task = work->task;
  const absl::Status& status = work->change.status;
  if (status.ok()) {
    for (const DriverState& state : task.former) {
      log::Info("driver bound", {{"device", task.device},
                                 {"function", state.address},
                                 {"driver", kVfioPci},
                                 {"former", state.driver}});
    }
  } else {
    Refuse(task, base::Reason::kNotBound, std::string(status.message()), kAfterPutBack);
    if (const absl::Status saved = Erase(task.former, work->change.stuck); !saved.ok()) {
      log::Error("former drivers not recorded",
                 {{"reason", base::Reason::kDriversNotRecorded}, {"error", saved}});
    }
  }
  Finish(task);
}

void Binder::EndRestore(const std::shared_ptr<Work>& work) {
  const Task& task = work->task;
  const DriverChange& change = work->change;
  for (const DriverState& state : task.former) {
    if (std::find(change.stuck.begin(), change.stuck.end(), state.address) != change.stuck.end())
      continue;
    log::Info("driver given back",
              {{"device", task.device}, {"function", state.address}, {"driver", state.driver}});
  }
  absl::Status status = Erase(task.former, change.stuck);
  if (!change.status.ok()) status = change.status;
  if (!status.ok()) {
    Refuse(task,
           absl::IsUnavailable(status) ? base::Reason::kDriverHeld : base::Reason::kNotGivenBack,
           std::string(status.message()), kAgain);
  }
  Finish(task);
}

// Logged once for each reason.
void Binder::Refuse(const Task& task, base::Reason reason, std::string text,
                    std::chrono::seconds pause) {
  Refusal& refusal = refusals_[task.device];
  if (refusal.reason != text) {
    is_scan_due_ = true;  // the offers are to say so
    log::Warning(task.binds() ? "driver not bound" : "driver not given back",
                 {{"reason", reason}, {"device", task.device}, {"error", text}});
  }
  refusal = {.reason = std::move(text),
             .facts = task.facts,
             .until = tools_.timers.Now() + pause,
             .binds = task.binds()};
  LookAgainAfter(pause);
}

void Binder::Finish(const Task& task) {
  changing_.erase(task.device);
  if (running_ == task.device) running_.reset();
  is_scan_due_ = true;
  tools_.in_turn([this] { Next(); });
}

absl::Status Binder::Save(std::map<std::string, DriverState> former) {
  if (former == former_) return absl::OkStatus();
  DriverRecord record{.boot_id = tools_.boot_id, .former = {}};
  for (const auto& [address, state] : former) record.former.push_back(state);
  RETURN_IF_ERROR(tools_.store.Save(record));
  former_ = std::move(former);
  return absl::OkStatus();
}

absl::Status Binder::Erase(std::span<const DriverState> done, std::span<const std::string> but) {
  auto left = former_;
  for (const DriverState& state : done) {
    if (std::find(but.begin(), but.end(), state.address) == but.end()) left.erase(state.address);
  }
  return Save(std::move(left));
}

void Binder::LookAgainAfter(std::chrono::seconds pause) {
  const Time due = tools_.timers.Now() + pause;
  if (timer_ && *timer_ <= due) return;
  timer_ = due;
  tools_.timers.CallAfter(pause, [this, due] {
    if (stopped_ || timer_ != due) return;
    timer_.reset();
    tools_.scan();
  });
}

void Binder::Explain(std::span<Offer> offers) const {
  std::optional<absl::Status> vfio_pci;
  for (Offer& offer : offers) {
    if (const auto change = changing_.find(offer.id); change != changing_.end()) {
      offer.unhealthy_reason = change->second;
      offer.reason = base::Reason::kDriverChanging;
    } else if (const auto refusal = refusals_.find(offer.id);
               refusal != refusals_.end() && refusal->second.binds && !offer.healthy()) {
      offer.unhealthy_reason = fmt::format("{}; {} is not bound: {}", offer.unhealthy_reason,
                                           kVfioPci, refusal->second.reason);
    } else if (offer.reason == base::Reason::kNoDriver ||
               offer.reason == base::Reason::kForeignDriver) {
      // Then nobody could bind it by hand either.
      if (!vfio_pci) vfio_pci = tools_.drivers.FindDriver(kVfioPci);
      if (vfio_pci->ok()) continue;
      offer.unhealthy_reason += fmt::format("; {}", std::string(vfio_pci->message()));
    }
  }
}

}  // namespace dp::core
