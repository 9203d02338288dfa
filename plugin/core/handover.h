// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/books.h"
#include "plugin/core/catalogue.h"
#include "plugin/core/grant.h"
#include "plugin/core/ports.h"
#include "plugin/core/reservations.h"
#include "plugin/core/window_writer.h"

namespace dp::core {

// What an allocation and a start work with, one after the other.
struct Tools {
  Catalogue& catalogue;
  Reservations& reservations;
  Books& books;
  WindowWriter& writer;
  Timers& timers;
};

// Reserves one window for the targets: takes it from the pool, writes it to each group that can be
// steered, and enters the allocation in the books. Each step can fail, and the steps before it are
// undone in reverse.
//
// `targets` outlive the call of `done`, and have their window then. `done` is called once, possibly
// before this returns. ResourceExhausted: no window is free. Internal: the settings or the ledger
// cannot be written. Else what the kernel's refusal means to the kubelet, see ForCaller().
void Reserve(const Tools& tools, std::size_t resource, std::vector<Target>& targets,
             std::function<void(absl::StatusOr<Books::Entry>)> done);

}  // namespace dp::core
