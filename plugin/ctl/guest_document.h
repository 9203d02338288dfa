// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/window.h"
#include "plugin/domain/domain.h"
#include "plugin/guest/memory_map.h"

namespace dp::ctl {

// More of a document is not read.
inline constexpr std::size_t kMostDocumentBytes = std::size_t{4} << 20;

// A guest as a document describes it.
struct Guest {
  std::string name;  // "VM default/a", "domain a"
  std::vector<guest::Range> map;
  std::string fixed;        // why only the default window will do, as guest::Examine() has it
  std::string unknown_end;  // because of what it cannot be told where RAM ends; empty: it can
  domain::Domain domain;    // of a VMI: empty
};

// Reads a VirtualMachineInstance or VirtualMachine of KubeVirt, in YAML or JSON, or a domain of
// libvirt. `name` is that of the document, for messages. InvalidArgument: it is none of these, or
// one for another processor than arm64's; one sentence with name and line. FailedPrecondition: QEMU
// does not start such a guest, and why.
absl::StatusOr<Guest> ReadGuest(std::string_view text, std::string_view name);

}  // namespace dp::ctl
