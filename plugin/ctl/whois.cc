// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/whois.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "plugin/base/excerpt.h"
#include "plugin/core/offers.h"
#include "plugin/ctl/node_json.h"

namespace dp::ctl {
namespace {

bool Has(const core::Window& window, std::uint64_t address) {
  return address >= window.base && address - window.base < window.size;
}

bool Has(const std::optional<core::Window>& window, std::uint64_t address) {
  return window && Has(*window, address);
}

const core::Group* GroupOf(const core::Inventory& host, std::string_view function) {
  const auto found = std::find_if(host.groups.begin(), host.groups.end(), [&](const auto& group) {
    return std::any_of(group.functions.begin(), group.functions.end(),
                       [&](const core::Function& member) { return member.name == function; });
  });
  return found == host.groups.end() ? nullptr : &*found;
}

// What a stream ID is on most hosts: the requester ID of a function of the first PCI domain. A
// table of the firmware (IORT) may say otherwise.
std::string FunctionOfStream(std::uint32_t stream) {
  return fmt::format("{:04x}:{:02x}:{:02x}.{}", stream >> 16, stream >> 8 & 0xff,
                     stream >> 3 & 0x1f, stream & 7);
}

std::string SenderOf(const SmmuEvent& event, const core::Inventory& host) {
  if (!event.client.empty()) {
    const core::Group* group = GroupOf(host, event.client);
    const std::string client = base::Excerpt(event.client);
    return group == nullptr ? client : fmt::format("{}, IOMMU group {}", client, group->number);
  }
  if (!event.stream) return {};
  const std::string function = FunctionOfStream(*event.stream);
  const core::Group* group = GroupOf(host, function);
  if (group == nullptr) return fmt::format("stream {:#x}", *event.stream);
  return fmt::format("stream {:#x}, which is {} (IOMMU group {}) if streams are requester IDs",
                     *event.stream, function, group->number);
}

std::string Owner(const Device& device) {
  std::string owner = fmt::format("device {}, IOMMU group {}", device.id, device.group);
  if (device.pod) owner += fmt::format(", pod {}", ShowPod(device.pod));
  return Printable(owner);
}

// Of an address that is in no window that is reserved.
std::string WhyNot(std::uint64_t iova, const Node& node, const core::Inventory& host) {
  if (Has(core::kFixedWindow, iova)) {
    const auto count =
        std::count_if(host.groups.begin(), host.groups.end(),
                      [&](const core::Group& group) { return Has(group.window, iova); });
    return fmt::format(
        "{:#x} is in the default window, {}, which the kernel gives to each group that has no "
        "other "
        "one: {} groups have it",
        iova, core::FormatWindow(core::kFixedWindow), count);
  }
  if (iova >= node.pool.start && iova < node.pool.end)
    return fmt::format("{:#x} is in the pool, and nobody has that window", iova);
  return fmt::format(
      "{:#x} is in no doorbell window, and not in the pool: it may be memory of a "
      "guest",
      iova);
}

void FindOwners(std::uint64_t iova, const Node& node, Finding& finding) {
  std::optional<core::Window> window;
  for (const Device& device : node.devices) {
    if (!Has(device.window, iova)) continue;
    finding.devices.push_back(device);
    window = device.window;
  }
  if (window) {
    finding.is_ours = true;
    finding.sentence = fmt::format("{:#x} is in the window {}", iova, core::FormatWindow(*window));
    return;
  }
  for (const Leftover& leftover : node.leftovers) {
    if (!Has(leftover.window, iova)) continue;
    finding.is_ours = true;
    finding.sentence = Printable(fmt::format(
        "{:#x} is in the window {}, which is left over: device {}, IOMMU group {} has it, and "
        "nobody was given it",
        iova, core::FormatWindow(leftover.window), leftover.device, leftover.group));
    return;
  }
}

std::string Show(const Finding& finding, const Style& style) {
  std::string text;
  if (!finding.is_ours) text += Paint("not ours: ", Tone::kDoubtful, style);
  text += finding.sentence + '\n';
  for (const Device& device : finding.devices) {
    text += fmt::format("  of {}\n", Owner(device));
    if (Differs(device)) {
      text += fmt::format("  {}\n", Paint(fmt::format("the kernel has another window for it, {}",
                                                      ShowWindow(device.kernel.window)),
                                          Tone::kBad, style));
    }
  }
  if (!finding.event.name.empty() && !finding.sender.empty())
    text += fmt::format("  sent by {}\n", finding.sender);
  return text;
}

nlohmann::ordered_json JsonOf(const Finding& finding) {
  using Json = nlohmann::ordered_json;
  Json devices = Json::array();
  for (const Device& device : finding.devices) devices.push_back(ctl::JsonOf(device));
  const SmmuEvent& event = finding.event;
  return {{"event", event.name},
          {"client", event.client},
          {"stream", event.stream ? Json(*event.stream) : Json()},
          {"address", event.iova ? Json(fmt::format("{:#x}", *event.iova)) : Json()},
          {"ours", finding.is_ours},
          {"sentence", finding.sentence},
          {"sender", finding.sender},
          {"devices", std::move(devices)}};
}

}  // namespace

Finding Examine(const SmmuEvent& event, const Node& node, const core::Inventory& host) {
  Finding finding;
  finding.event = event;
  finding.sender = SenderOf(event, host);
  if (!event.iova) {
    finding.sentence = fmt::format(
        "{} has no I/O address here; of an event with words below it, give them as well",
        base::Excerpt(event.name));
    return finding;
  }
  FindOwners(*event.iova, node, finding);
  if (!finding.is_ours) finding.sentence = WhyNot(*event.iova, node, host);
  return finding;
}

Answer ShowWhois(std::string_view text, const Node& node, const core::Inventory& host,
                 const Style& style) {
  Answer answer{.exit_code = kExitNo, .text = {}, .notes = {}};
  std::vector<Finding> findings;
  for (const SmmuEvent& event : ParseEvents(text)) {
    findings.push_back(Examine(event, node, host));
    if (findings.back().is_ours) answer.exit_code = kExitOk;
  }
  if (style.is_for_programs()) {
    nlohmann::ordered_json items = nlohmann::ordered_json::array();
    for (const Finding& finding : findings) items.push_back(JsonOf(finding));
    answer.text =
        Render({{"apiVersion", kApiVersion}, {"kind", "Whois"}, {"items", items}}, style.format);
    return answer;
  }
  for (const Finding& finding : findings) answer.text += Show(finding, style);
  if (findings.empty()) {
    answer.text = fmt::format("not ours: there is no I/O address in \"{}\"\n", base::Excerpt(text));
  }
  return answer;
}

}  // namespace dp::ctl
