// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/show_node.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "plugin/base/excerpt.h"
#include "plugin/base/parse.h"
#include "plugin/ctl/node_json.h"

namespace dp::ctl {
namespace {

Cell KernelCell(const Device& device) {
  if (!device.kernel.is_read) return {.text = "not read", .tone = Tone::kDoubtful};
  const std::string window =
      device.kernel.window ? ShowWindow(device.kernel.window) : std::string("none");
  if (Differs(device)) return {.text = window + " differs", .tone = Tone::kBad};
  return {.text = device.window ? "same" : window};
}

Cell StateCell(const Device& device) {
  const bool is_bad = device.state == State::kUnhealthy;
  return {.text = std::string(NameOf(device.state)), .tone = is_bad ? Tone::kBad : Tone::kPlain};
}

// What is special about it, in one clause.
std::string RemarkOn(const Device& device) {
  if (!device.unhealthy.empty()) return device.unhealthy;
  if (!device.observe.empty()) return "observed only: " + device.observe;
  return {};
}

std::string DeviceTable(const std::vector<const Device*>& devices, const Style& style) {
  const bool is_wide = style.format == Format::kWide;
  std::vector<std::string> headings{"DEVICE", "GROUP",  "RESOURCE", "STATE",
                                    "WINDOW", "KERNEL", "POD",      "AGE"};
  if (is_wide) headings.insert(headings.end(), {"FUNCTION", "DRIVER", "NUMA", "REASON", "REMARK"});
  std::vector<std::vector<Cell>> rows;
  for (const Device* device : devices) {
    std::vector<Cell>& row = rows.emplace_back();
    row = {{device->id},
           {fmt::format("{}", device->group)},
           {device->resource},
           StateCell(*device),
           {ShowWindow(device->window)},
           KernelCell(*device),
           {ShowPod(device->pod)},
           {ShowAge(device->since_ms, style.now_ms)}};
    if (!is_wide) continue;
    row.push_back({device->function});
    row.push_back({device->driver});
    row.push_back({device->numa_node ? fmt::format("{}", *device->numa_node) : "-"});
    row.push_back({device->reason});
    row.push_back({RemarkOn(*device)});
  }
  return Table(headings, rows, style);
}

std::string LeftoverTable(const std::vector<Leftover>& leftovers, const Style& style) {
  std::vector<std::vector<Cell>> rows;
  for (const Leftover& leftover : leftovers) {
    rows.push_back({{leftover.device},
                    {fmt::format("{}", leftover.group)},
                    {ShowWindow(leftover.window)},
                    {ShowAge(leftover.since_ms, style.now_ms)}});
  }
  return Table({"LEFT OVER", "GROUP", "WINDOW", "AGE"}, rows, style);
}

bool Means(const std::string& name, const Device& device) {
  if (device.id == name || device.function == name) return true;
  if (base::ParseDecimal<std::uint32_t>(name) == device.group) return true;
  return device.pod && name == device.pod->space + "/" + device.pod->name;
}

void AddLine(std::string_view label, std::string_view value, std::string& text) {
  if (!value.empty()) text += fmt::format("{:<14} {}\n", label, Printable(value));
}

std::string Since(std::int64_t since_ms, const Style& style) {
  if (since_ms == 0) return {};
  return fmt::format("{} ({})", ShowTime(since_ms), ShowAge(since_ms, style.now_ms));
}

std::string Describe(const Node& node, const Device& device, const Style& style) {
  std::string text;
  AddLine("Device", device.id, text);
  if (device.function != device.id) AddLine("Function", device.function, text);
  AddLine("IOMMU group", fmt::format("{}", device.group), text);
  AddLine("Resource", device.resource.empty() ? "none offers it" : device.resource, text);
  AddLine("Driver", device.driver.empty() ? "none" : device.driver, text);
  if (device.numa_node) AddLine("NUMA node", fmt::format("{}", *device.numa_node), text);
  AddLine("State", NameOf(device.state), text);
  AddLine("Since", Since(device.since_ms, style), text);
  AddLine("Why", device.unhealthy, text);
  AddLine("Reason", device.reason, text);
  AddLine("Observed only", device.observe, text);
  AddLine("Pod", ShowPod(device.pod), text);
  AddLine("Window", device.window ? core::FormatWindow(*device.window) : "none is reserved", text);
  const Cell kernel = KernelCell(device);
  text += fmt::format("{:<14} {}\n", "Kernel", Paint(Printable(kernel.text), kernel.tone, style));
  AddLine("", device.kernel.error, text);
  if (device.last_failure) {
    AddLine("Last failure",
            fmt::format("{} {}: {}", ShowTime(device.last_failure->time_ms),
                        device.last_failure->reason, device.last_failure->message),
            text);
  }
  for (const Occurrence& occurrence : node.occurrences) {
    if (occurrence.device != device.id) continue;
    AddLine(occurrence.warning ? "Warning" : "Note",
            fmt::format("{} {}: {}", ShowTime(occurrence.time_ms), occurrence.reason,
                        occurrence.message),
            text);
  }
  return text;
}

Answer ShowForPrograms(const Node& node, const std::vector<const Device*>& devices,
                       const Style& style) {
  Node part = node;
  part.devices.clear();
  part.leftovers.clear();
  part.occurrences.clear();
  for (const Device* device : devices) {
    part.devices.push_back(*device);
    for (const Occurrence& occurrence : node.occurrences) {
      if (occurrence.device == device->id) part.occurrences.push_back(occurrence);
    }
  }
  return {.exit_code = kExitOk, .text = Render(JsonOf(part), style.format), .notes = {}};
}

}  // namespace

Answer ShowList(const Node& node, const Style& style) {
  Answer answer;
  if (style.is_for_programs()) {
    answer.text = Render(JsonOf(node), style.format);
    return answer;
  }
  std::vector<const Device*> devices;
  devices.reserve(node.devices.size());
  for (const Device& device : node.devices) devices.push_back(&device);
  answer.text = DeviceTable(devices, style);
  if (!node.leftovers.empty()) answer.text += '\n' + LeftoverTable(node.leftovers, style);
  return answer;
}

Answer ShowDevices(const Node& node, const std::string& name, const Style& style) {
  std::vector<const Device*> devices;
  for (const Device& device : node.devices) {
    if (Means(name, device)) devices.push_back(&device);
  }
  if (devices.empty()) {
    return NoAnswer(kExitNo, fmt::format("\"{}\" is none of the {} devices, their IOMMU groups or "
                                         "their pods: see doorbellctl list",
                                         base::Excerpt(name), node.devices.size()));
  }
  if (style.is_for_programs()) return ShowForPrograms(node, devices, style);
  Answer answer;
  for (const Device* device : devices) {
    if (!answer.text.empty()) answer.text += '\n';
    answer.text += Describe(node, *device, style);
  }
  return answer;
}

}  // namespace dp::ctl
