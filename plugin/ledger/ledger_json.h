// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "plugin/core/ledger.h"

namespace dp::ledger {

// Of the text of a ledger: that of some 50,000 devices. A bound to what is read into memory.
inline constexpr std::size_t kMaxBytes = 16 << 20;

// The ledger as the text of ledger.json (api/ledger/v1.schema.json): a line for each reservation,
// in ASCII, whatever bytes are in the texts of the ledger.
std::string Encode(const core::Ledger& ledger);

// Reads it back: Decode(Encode(ledger)) == ledger. Fields that it does not know are ignored.
// FailedPrecondition: a ledger of a newer version. InvalidArgument: anything else that Encode()
// does not write, damaged text above all. The message is one clause which names the place, as a
// JSON pointer or a byte.
absl::StatusOr<core::Ledger> Decode(std::string_view text);

}  // namespace dp::ledger
