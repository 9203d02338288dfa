// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/release.h"

#include <fmt/format.h>

#include "plugin/base/excerpt.h"
#include "plugin/base/parse.h"
#include "plugin/ctl/daemon.h"
#include "plugin/ctl/node.h"
#include "plugin/ctl/output.h"

namespace dp::ctl {
namespace {

// Who has the window, for the question.
std::string OwnersOf(const Node& node, std::uint64_t base) {
  std::string owners;
  for (const Device& device : node.devices) {
    if (!device.window || device.window->base != base) continue;
    if (!owners.empty()) owners += ", ";
    owners += fmt::format("{} of pod {}", device.id, ShowPod(device.pod));
  }
  return owners.empty() ? "nobody" : Printable(owners);
}

bool IsRefusal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsNotFound(status) ||
         absl::IsInvalidArgument(status) || absl::IsUnavailable(status);
}

}  // namespace

absl::StatusOr<std::uint64_t> ParseWindowBase(std::string_view text) {
  const auto end = text.find_first_of("+ ");
  const auto base = base::ParseNumber<std::uint64_t>(text.substr(0, end));
  const bool is_sound = end == std::string_view::npos ||
                        base::ParseNumber<std::uint64_t>(text.substr(end + 1)).has_value();
  if (!base || !is_sound) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is no window such as 0x09100000", base::Excerpt(text)));
  }
  return *base;
}

Answer Release(const std::string& socket, std::string_view window, const Ask& ask) {
  const auto base = ParseWindowBase(window);
  if (!base.ok()) return NoAnswer(kExitUsage, std::string(base.status().message()));
  // Whoever does not answer this does not refuse.
  const auto node = AskState(socket);
  if (!node.ok()) return NoAnswer(kExitUnreadable, std::string(node.status().message()));
  if (ask && !ask(fmt::format("End the reservation of the window at {:#x}, which {} has? [y/N] ",
                              *base, OwnersOf(*node, *base)))) {
    return NoAnswer(kExitNo, "nothing was released");
  }
  const auto devices = AskRelease(socket, *base);
  if (!devices.ok()) {
    return NoAnswer(IsRefusal(devices.status()) ? kExitNo : kExitUnreadable,
                    Printable(std::string(devices.status().message())));
  }
  Answer answer;
  for (const std::string& device : *devices)
    answer.text += fmt::format("released {:#x} of {}\n", *base, Printable(device));
  return answer;
}

}  // namespace dp::ctl
