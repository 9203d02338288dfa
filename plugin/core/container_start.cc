// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/container_start.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "plugin/base/log.h"
#include "plugin/base/status_macros.h"
#include "plugin/core/pod_index.h"

// The kubelet allocates the devices of a pod one resource and container at a time, and does not say
// for whom. But at every PreStartContainer its PodResources API lists the pod with all that it
// holds. So here the windows of a pod, one for each allocation so far, become one. What a container
// was started with stays: it may have told its VMM.
//
// Nobody waits for that: a pod whose windows differ works as well, each group has the window that
// its settings say.

namespace dp::core {
namespace {

void Say(base::Reason reason, std::string_view device, const absl::Status& status) {
  log::Warning("pod not known", {{"reason", reason}, {"device", device}, {"error", status}});
}

// As an Event would begin.
absl::Status Refusal(base::Reason cause, base::Reason reason, const absl::Status& status) {
  return Because(cause, {status.code(), fmt::format("{}: {}", base::CamelCaseOf(reason),
                                                    std::string(status.message()))});
}

absl::Status GroupChanged(const std::string& sentence) {
  constexpr auto kReason = base::Reason::kGroupChanged;
  return Refusal(kReason, kReason, absl::FailedPreconditionError(sentence));
}

// What the kubelet has passed on to the container: numbers of groups, in device nodes.
absl::Status CheckAgainst(const Holding& holding, const Group& group) {
  if (group.number != holding.group) {
    return GroupChanged(
        fmt::format("device {} is in IOMMU group {} now, and was in {} when it was allocated; the "
                    "kubelet gives "
                    "its container the device node of the old one, so the pod must be deleted",
                    holding.device, group.number, holding.group));
  }
  if (const std::string members = MembersOf(group); members != holding.members) {
    return GroupChanged(fmt::format(
        "IOMMU group {} of device {} has changed: it holds {}, and held {} when it was allocated",
        group.number, holding.device, members, holding.members));
  }
  return absl::OkStatus();
}

}  // namespace

bool ContainerStart::IsSettled(Reservations& reservations,
                               const std::vector<std::string>& devices) {
  return std::all_of(devices.begin(), devices.end(), [&](const std::string& device) {
    const auto* lease = reservations.Find(device).lease;
    return lease != nullptr && lease->reservation.started && lease->reservation.pod;
  });
}

void ContainerStart::Run() {
  auto targets = tools_.catalogue.LookAgain(resource_, devices_);
  if (!targets.ok()) {
    Fail(base::Reason::kDeviceNotReady, targets.status());
    return;
  }
  targets_ = *std::move(targets);
  bool in_record = true;
  for (const Target& target : targets_) {
    const auto& [offer, group] = target;
    const auto [lease, allocation, holding] = tools_.reservations.Find(offer.id);
    if (lease == nullptr) {
      in_record = false;
      continue;
    }
    lease->last_seen = tools_.timers.Now();
    // The runtime reads the numbers of groups in the specification that is written at the end.
    if (allocation->cdi && group.number != holding->group) {
      log::Info("group renumbered", {{"device", offer.id}, {"group", group.number}});
      tools_.reservations.Renumber(offer.id, group.number);
      tools_.books.Changed();
    }
    if (absl::Status status = CheckAgainst(*holding, group); !status.ok()) {
      Answer(std::move(status));
      return;
    }
    // Another kernel since, or another configuration.
    if (holding->reserved != tools_.catalogue.CanSteer(target)) in_record = false;
  }
  if (in_record) {
    Repair();
  } else {
    ReserveAnew();
  }
}

// As after a ledger that was lost, or an allocation of an init container whose devices went on to
// the next one: the kubelet knows that the devices are this container's.
void ContainerStart::ReserveAnew() {
  Reserve(tools_, resource_, targets_, [this](const absl::StatusOr<Books::Entry>& entry) {
    if (!entry.ok()) {
      Fail(absl::IsResourceExhausted(entry.status()) ? base::Reason::kNoWindowFree
                                                     : base::Reason::kWindowNotSet,
           entry.status());
      return;
    }
    log::Warning("reserved at start",
                 {{"reason", base::Reason::kNotInRecord}, {"device", targets_.front().offer.id}});
    Unify();
  });
}

// The windows as the record has them: those of the first group that differs, and the rest after it.
void ContainerStart::Repair() {
  std::vector<std::uint32_t> groups;
  std::optional<Window> window;
  for (Target& target : targets_) {
    const auto [lease, allocation, holding] = tools_.reservations.Find(target.offer.id);
    if (lease == nullptr || !holding->reserved) continue;
    const std::optional<Window> reserved = lease->reservation.window;
    if (target.group.window == reserved || (window && window != reserved)) continue;
    window = reserved;
    groups.push_back(target.group.number);
  }
  if (!window) {
    Unify();
    return;
  }
  tools_.writer.Write(
      groups, *window, WindowWriter::OnBusy::kWait,
      [this, groups, window](const WindowWriter::Outcome& outcome) {
        if (!outcome.status.ok()) {
          Fail(base::Reason::kWindowNotSet,
               ForCaller(outcome.status, fmt::format("the window {} that is "
                                                     "reserved was not set again",
                                                     FormatWindow(*window))));
          return;
        }
        for (Target& target : targets_) {
          if (std::find(groups.begin(), groups.end(), target.group.number) != groups.end())
            target.group.window = window;
        }
        log::Warning("window written again", {{"reason", base::Reason::kWindowDiffered},
                                              {"device", targets_.front().offer.id},
                                              {"window", FormatWindow(*window)}});
        Repair();
      });
}

std::optional<PodName> ContainerStart::FindPod(const PodIndex& pods) {
  const std::string& device = targets_.front().offer.id;
  std::set<PodName> holders;
  for (const Target& target : targets_) {
    holders.merge(pods.HoldersOf(tools_.catalogue.offers()[resource_].resource, target.offer.id));
  }
  if (holders.size() == 1) return *holders.begin();
  if (holders.empty()) {
    Say(base::Reason::kPodNotListed, device,
        absl::NotFoundError("the kubelet lists no pod with the device"));
  } else {
    Say(base::Reason::kPodListedTwice, device,
        absl::FailedPreconditionError(fmt::format("the kubelet lists the device under {} and {}",
                                                  FormatPod(*holders.begin()),
                                                  FormatPod(*holders.rbegin()))));
  }
  return std::nullopt;
}

void ContainerStart::Unify() {
  if (!listed_) {
    Finish();
    return;
  }
  if (!listed_->ok()) {
    Say(absl::IsDeadlineExceeded(listed_->status()) ? base::Reason::kPodsSlow
                                                    : base::Reason::kPodsAbsent,
        targets_.front().offer.id, listed_->status());
    Finish();
    return;
  }
  const PodIndex pods(**listed_);
  const std::optional<PodName> pod = FindPod(pods);
  if (!pod) {
    Finish();
    return;
  }
  const std::vector<Reservations::Lease*> leases = tools_.reservations.LeasesOf(*pod, pods);
  Reservations::Lease* into = nullptr;
  for (Reservations::Lease* lease : leases) {
    if (!lease->reservation.window) continue;
    if (into == nullptr || (lease->reservation.started && !into->reservation.started)) into = lease;
  }
  for (Reservations::Lease* lease : leases) {
    if (lease->reservation.pod == pod) continue;
    lease->reservation.pod = pod;
    tools_.books.Changed();
  }
  if (into != nullptr) Join(*into, leases);
  log::Info("pod known", {{"reason", base::Reason::kWindowReserved},
                          {"pod", FormatPod(*pod)},
                          {"window", into == nullptr ? std::string("none")
                                                     : FormatWindow(*into->reservation.window)}});
  Finish();
}

// Gives the window of `into` to the other leases that no container was started with, to all of them
// or to none.
void ContainerStart::Join(Reservations::Lease& into, std::span<Reservations::Lease* const> leases) {
  struct Moved {
    std::size_t resource;
    std::vector<Target> targets;
  };
  std::vector<Reservations::Lease*> others;
  std::vector<Moved> moved;
  std::vector<std::uint32_t> groups;
  absl::Status status;
  for (Reservations::Lease* lease : leases) {
    if (lease == &into || !lease->reservation.window || lease->reservation.started) continue;
    others.push_back(lease);
    for (const Allocation& allocation : lease->reservation.allocations) {
      auto targets = LookAt(allocation);
      if (!targets.ok()) {
        status = targets.status();
        break;
      }
      const auto steered = tools_.catalogue.GroupsToSteer(*targets);
      groups.insert(groups.end(), steered.begin(), steered.end());
      moved.push_back({.resource = *tools_.catalogue.IndexOf(allocation.resource),
                       .targets = *std::move(targets)});
    }
  }
  if (others.empty()) return;
  const Window window = *into.reservation.window;
  if (status.ok()) {
    // Without waiting, so that it is done when the call returns: a group of this pod that a VMM
    // holds has another container, and will not be let go of.
    tools_.writer.Write(
        groups, window, WindowWriter::OnBusy::kFail,
        [&status](const WindowWriter::Outcome& outcome) { status = outcome.status; });
  }
  for (auto& [resource, targets] : moved) {
    if (!status.ok()) break;
    tools_.catalogue.SetWindow(targets, window);
    // Its container reads them after its own start was checked, when they are written again.
    if (const auto entry = tools_.books.WriteSettings(resource, targets); !entry.ok()) {
      log::Warning("settings not written",
                   {{"reason", base::Reason::kSettingsNotWritten}, {"error", entry.status()}});
    }
  }
  if (!status.ok()) {
    log::Warning("windows left as they are",
                 {{"reason", absl::IsUnavailable(status) ? base::Reason::kGroupBusy
                                                         : base::Reason::kJoinFailed},
                  {"device", targets_.front().offer.id},
                  {"error", status}});
    return;
  }
  for (Reservations::Lease* lease : others) tools_.reservations.Merge(into, *lease);
  tools_.books.Changed();
}

// What the groups of an allocation are now, if they are as they were handed over.
absl::StatusOr<std::vector<Target>> ContainerStart::LookAt(const Allocation& allocation) {
  const std::optional<std::size_t> resource = tools_.catalogue.IndexOf(allocation.resource);
  if (!resource) {
    return absl::NotFoundError(
        fmt::format("no resource offers device {} any more", allocation.key()));
  }
  std::vector<std::string> devices;
  for (const Holding& holding : allocation.holdings) devices.push_back(holding.device);
  ASSIGN_OR_RETURN(std::vector<Target> targets, tools_.catalogue.LookAgain(*resource, devices));
  for (std::size_t i = 0; i < targets.size(); ++i) {
    RETURN_IF_ERROR(CheckAgainst(allocation.holdings[i], targets[i].group));
  }
  return targets;
}

void ContainerStart::Finish() {
  for (Target& target : targets_) {
    const auto [lease, allocation, holding] = tools_.reservations.Find(target.offer.id);
    if (lease == nullptr) continue;
    if (holding->reserved) target.group.window = lease->reservation.window;
    if (!std::exchange(lease->reservation.started, true)) tools_.books.Changed();
  }
  // Also if nothing has changed: after a reboot there is no settings file.
  if (const auto entry = tools_.books.WriteSettings(resource_, targets_); !entry.ok()) {
    Fail(base::Reason::kSettingsNotWritten,
         ForCaller(entry.status(), "the settings were not written"));
    return;
  }
  if (const absl::Status status = tools_.books.Save(); !status.ok()) {
    Fail(base::Reason::kLedgerNotWritten,
         ForCaller(status, "the reservation was not written down"));
    return;
  }
  Answer(absl::OkStatus());
}

void ContainerStart::Fail(base::Reason reason, const absl::Status& status) {
  Answer(Refusal(base::ReasonOf(status).value_or(reason), reason, status));
}

void ContainerStart::Answer(absl::Status status) {
  // It may destroy this object.
  const Done done = done_;
  done(std::move(status));
}

}  // namespace dp::core
