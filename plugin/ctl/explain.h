// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/config.h"
#include "plugin/core/window.h"
#include "plugin/ctl/answer.h"
#include "plugin/ctl/guest_document.h"
#include "plugin/ctl/output.h"
#include "plugin/guest/memory_map.h"

namespace dp::ctl {

// Windows that lie one behind the other, of which the same is to be said.
struct WindowVerdict {
  core::Window windows;     // from the start of the first to the end of the last
  std::uint64_t count = 1;  // of windows
  guest::Verdict verdict;
};

// Of each window of a pool, in the order of their addresses.
std::vector<WindowVerdict> JudgePool(const Guest& guest, const core::Pool& pool);

// A window as a command line has it, "START:END", the end exclusive. InvalidArgument: no such
// window, or one that the kernel does not make.
absl::StatusOr<core::Window> ParseWindowRange(std::string_view text);

// The memory of a guest, and what is to be said of windows, which are `what`: "of the pool of
// config.yaml". kExitNo: one is rejected.
Answer Explain(const Guest& guest, const std::vector<WindowVerdict>& verdicts,
               std::string_view what, const Style& style);

}  // namespace dp::ctl
