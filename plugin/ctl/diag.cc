// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/diag.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "plugin/ctl/node_json.h"

namespace dp::ctl {
namespace {

constexpr char kTroubleshooting[] = "see docs/troubleshooting.md";

std::string Sentence(const absl::Status& status) { return std::string(status.message()); }

Check Ok(std::string what, std::string finding) {
  return {
      .what = std::move(what), .health = Health::kOk, .finding = std::move(finding), .advice = {}};
}

Check Wrong(std::string what, std::string finding, std::string advice) {
  return {.what = std::move(what),
          .health = Health::kWrong,
          .finding = std::move(finding),
          .advice = std::move(advice)};
}

Check CannotTell(std::string what, std::string finding, std::string advice) {
  return {.what = std::move(what),
          .health = Health::kCannotTell,
          .finding = std::move(finding),
          .advice = std::move(advice)};
}

bool MayBeRights(const Evidence& evidence, const absl::Status& status) {
  return absl::IsPermissionDenied(status) && !evidence.facts.is_root;
}

Check CheckKernel(const Evidence& evidence) {
  if (evidence.facts.release.empty()) return CannotTell("kernel", "its release is not known", "");
  return Ok("kernel", fmt::format("{} {}", evidence.facts.release, evidence.facts.machine));
}

Check CheckGroups(const Evidence& evidence) {
  if (!evidence.host.ok()) {
    return Wrong("IOMMU groups", Sentence(evidence.host.status()),
                 "switch the IOMMU on in the firmware; on amd64 boot with intel_iommu=on");
  }
  const core::Inventory& host = *evidence.host;
  if (!host.skipped.empty()) {
    return Wrong(
        "IOMMU groups",
        fmt::format("{} groups, and {} cannot be read, such as {}: {}", host.groups.size(),
                    host.skipped.size(), host.skipped.front().path, host.skipped.front().reason),
        "run as root; a group that cannot be read is not offered");
  }
  return Ok("IOMMU groups", fmt::format("{} groups", host.groups.size()));
}

Check CheckKnob(const Evidence& evidence) {
  if (!evidence.host.ok()) return CannotTell("knob", "no IOMMU groups were read", "");
  std::size_t present = 0;
  std::size_t absent = 0;
  for (const core::Group& group : evidence.host->groups) {
    present += group.knob == core::Knob::kPresent ? 1 : 0;
    absent += group.knob == core::Knob::kAbsent ? 1 : 0;
  }
  const bool observes = evidence.config.ok() && evidence.config->mode == core::Mode::kObserve;
  if (present > 0)
    return Ok("knob", fmt::format("{} groups have a window that can be moved", present));
  if (observes) return Ok("knob", "no window can be moved, and none is to be: mode observe");
  if (absent > 0) {
    return Wrong("knob", "this kernel has no msi_window attribute: windows are only observed",
                 "boot a kernel with the series (kernel/README.md), or say mode: observe");
  }
  return Wrong("knob", "no group has a software MSI window, as on x86: there is nothing to move",
               "say mode: observe");
}

Check CheckConfiguration(const Evidence& evidence) {
  if (evidence.config.ok()) {
    return Ok("configuration",
              fmt::format("valid, {} resources", evidence.config->resources.size()));
  }
  if (MayBeRights(evidence, evidence.config.status()))
    return CannotTell("configuration", Sentence(evidence.config.status()), "run as root");
  return Wrong("configuration", Sentence(evidence.config.status()),
               "see docs/configuration.md; doorbellctl check-config FILE tries one");
}

Check CheckDevices(const Evidence& evidence) {
  const auto& devices = evidence.node.devices;
  const auto is_bad = [](const Device& device) { return !device.unhealthy.empty(); };
  const auto count = std::count_if(devices.begin(), devices.end(), is_bad);
  if (count > 0) {
    const Device& first = *std::find_if(devices.begin(), devices.end(), is_bad);
    return Wrong("devices",
                 fmt::format("{} of {} are not healthy, such as {}: {}", count, devices.size(),
                             first.id, first.unhealthy),
                 first.reason.empty() ? kTroubleshooting
                                      : fmt::format("{}, {}", kTroubleshooting, first.reason));
  }
  if (devices.empty() && evidence.daemon.ok()) {
    return Wrong("devices", "none is offered",
                 "the selectors of the configuration match no device of this host");
  }
  if (devices.empty()) return CannotTell("devices", "none is known", "");
  return Ok("devices", fmt::format("{} devices, all healthy", devices.size()));
}

Check CheckWindows(const Evidence& evidence) {
  if (!evidence.host.ok()) return CannotTell("windows", "no IOMMU groups were read", "");
  const auto& devices = evidence.node.devices;
  const auto differing = std::find_if(devices.begin(), devices.end(), &Differs);
  if (differing != devices.end()) {
    return Wrong("windows",
                 fmt::format("the kernel has {} for {}, and {} is right",
                             ShowWindow(differing->kernel.window), differing->id,
                             ShowWindow(differing->window.value_or(core::kFixedWindow))),
                 differing->pod ? fmt::format("delete the pod {}", ShowPod(differing->pod))
                                : "write default to its msi_window when no VM has it");
  }
  if (!evidence.node.leftovers.empty()) {
    return Wrong(
        "windows",
        fmt::format("{} windows are left over, such as that of {}", evidence.node.leftovers.size(),
                    evidence.node.leftovers.front().device),
        "whoever holds the group has to end; see fuser -v /dev/vfio/*");
  }
  return Ok("windows", "the kernel has them as they should be");
}

Check CheckLedger(const Evidence& evidence) {
  if (evidence.ledger.ok()) return Ok("ledger", "readable");
  if (absl::IsNotFound(evidence.ledger))
    return Ok("ledger", "there is none: nothing was handed over yet");
  if (MayBeRights(evidence, evidence.ledger))
    return CannotTell("ledger", Sentence(evidence.ledger), "run as root");
  return Wrong("ledger", Sentence(evidence.ledger), "see docs/ledger.md");
}

Check CheckDaemon(const Evidence& evidence) {
  if (!evidence.daemon.ok()) {
    if (MayBeRights(evidence, evidence.daemon))
      return CannotTell("daemon", Sentence(evidence.daemon), "run as root");
    return Wrong("daemon", Sentence(evidence.daemon), "see the log of its pod");
  }
  const Daemon daemon = evidence.node.daemon.value_or(Daemon{});
  for (const std::string& error : {daemon.config_error, daemon.ledger_error, daemon.pods_error}) {
    if (!error.empty()) return Wrong("daemon", error, kTroubleshooting);
  }
  return Ok("daemon", fmt::format("version {} answers", daemon.version));
}

Check CheckProbe(const Probe& probe) {
  if (probe.error.empty()) return Ok(probe.what, probe.path);
  return Wrong(probe.what, probe.error, "see whether it runs, and whether this is its host's path");
}

std::string_view NameOf(Health health) {
  switch (health) {
    case Health::kOk:
      return "ok";
    case Health::kWrong:
      return "wrong";
    case Health::kCannotTell:
      return "cannot tell";
  }
  return "";
}

Tone ToneOf(Health health) {
  switch (health) {
    case Health::kOk:
      return Tone::kGood;
    case Health::kWrong:
      return Tone::kBad;
    case Health::kCannotTell:
      return Tone::kDoubtful;
  }
  return Tone::kPlain;
}

}  // namespace

std::vector<Check> Diagnose(const Evidence& evidence) {
  std::vector<Check> checks{CheckKernel(evidence),  CheckGroups(evidence),
                            CheckKnob(evidence),    CheckConfiguration(evidence),
                            CheckDevices(evidence), CheckWindows(evidence)};
  for (const Probe& probe : evidence.facts.probes) checks.push_back(CheckProbe(probe));
  checks.push_back(CheckLedger(evidence));
  checks.push_back(CheckDaemon(evidence));
  return checks;
}

Answer ShowDiagnosis(const std::vector<Check>& checks, const Style& style) {
  Answer answer;
  nlohmann::ordered_json items = nlohmann::ordered_json::array();
  for (const Check& check : checks) {
    if (check.health == Health::kWrong) answer.exit_code = kExitNo;
    items.push_back({{"what", check.what},
                     {"health", NameOf(check.health)},
                     {"finding", check.finding},
                     {"advice", check.advice}});
    const std::string health = fmt::format("{:<11}", NameOf(check.health));
    // An error of a configuration has a line for each mistake.
    answer.text += fmt::format("{}  {}: {}\n", Paint(health, ToneOf(check.health), style),
                               Printable(check.what), Printable(check.finding));
    if (!check.advice.empty())
      answer.text += fmt::format("{:<13}{}\n", "", Printable(check.advice));
  }
  if (style.is_for_programs()) {
    answer.text = Render({{"apiVersion", kApiVersion}, {"kind", "Diagnosis"}, {"items", items}},
                         style.format);
  }
  return answer;
}

}  // namespace dp::ctl
