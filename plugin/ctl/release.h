// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "plugin/ctl/answer.h"

namespace dp::ctl {

// Where a window begins, as people write it: "0x09100000", or as lists show it,
// "0x09100000+0x100000", or as the kernel does, "0x09100000 0x00100000". InvalidArgument: none of
// these.
absl::StatusOr<std::uint64_t> ParseWindowBase(std::string_view text);

// Whether a person says yes to a question.
using Ask = std::function<bool(const std::string& question)>;

// `doorbellctl release`: ends the reservation of a window. `ask` is empty if nobody is to be asked.
// kExitNo: the daemon refuses, and its words; or the person does.
Answer Release(const std::string& socket, std::string_view window, const Ask& ask);

}  // namespace dp::ctl
