// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "plugin/status/node_state.h"

// Texts as Kubernetes takes them.
namespace dp::status {

// "group_busy" as "GroupBusy", which is how reasons are written there: letters and digits, 128 at
// most. "Unknown" if nothing is left.
std::string CamelCase(std::string_view word);
// One line of printable ASCII, of `most` bytes at most, with "..." at its end if it had more.
std::string Bounded(std::string_view text, std::size_t most);
// Whether it can be the name of a node, a pod or a namespace, and so be part of a path: letters in
// lower case, digits, "-" and ".", 253 at most, neither first nor last a sign.
bool IsName(std::string_view text);
// "0x09100000 0x00100000", as the kernel writes it.
std::string WindowText(const Window& window);
// "Free", "Started", ...
std::string_view NameOf(DeviceState state);
// "Enforce", "Observe", "Unknown".
std::string_view NameOf(Mode mode);

}  // namespace dp::status
