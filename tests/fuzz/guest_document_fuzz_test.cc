// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string>

#include "plugin/ctl/explain.h"
#include "plugin/ctl/guest_document.h"
#include "tests/fuzz/require.h"

// Input: what `doorbellctl explain` is given.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto guest = dp::ctl::ReadGuest({reinterpret_cast<const char*>(data), size}, "guest");
  if (guest.ok()) {
    dp::fuzz::Require(!guest->map.empty(), "a guest has memory");
    std::uint64_t count = 0;
    for (const dp::ctl::WindowVerdict& item : dp::ctl::JudgePool(*guest, {})) {
      count += item.count;
      if (item.verdict.judgement != dp::guest::Judgement::kAccept)
        dp::fuzz::RequireOneLine(item.verdict.reason);
    }
    dp::fuzz::Require(count == 111, "each window of the default pool is judged once");
  } else {
    dp::fuzz::Require(
        absl::IsInvalidArgument(guest.status()) || absl::IsFailedPrecondition(guest.status()),
        "the code is one of the two", guest.status().ToString());
    dp::fuzz::RequireOneLine(std::string(guest.status().message()));
  }
  return 0;
}
