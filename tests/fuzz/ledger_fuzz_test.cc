// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "plugin/core/config.h"
#include "plugin/core/window_pool.h"
#include "plugin/ledger/ledger_json.h"
#include "tests/fuzz/require.h"

// Input: the text of a ledger.json. With random bytes nothing would be tried but the checksum, so
// the mutator below gives most of its texts the right one.
namespace dp::fuzz {
namespace {

void RequireSound(const core::Ledger& ledger) {
  const std::string text = ledger::Encode(ledger);
  Require(std::all_of(text.begin(), text.end(),
                      [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }),
          "a ledger is written in ASCII", text);
  const auto again = ledger::Decode(text);
  Require(again.ok(), "what is written can be read", again.status().ToString());
  Require(*again == ledger, "what is written is read again", text);

  // What the daemon does with it next, whoever has written it.
  core::WindowPool pool{core::Pool{}};
  for (const core::Reservation& reservation : ledger.reservations) {
    if (reservation.window) pool.Claim(*reservation.window);
    for (const core::Allocation& allocation : reservation.allocations) {
      Require(!allocation.holdings.empty(), "an allocation has a key", text);
    }
  }
  for (const core::Reservation& reservation : ledger.reservations) {
    if (reservation.window) pool.Release(*reservation.window);
  }
  std::size_t free = 0;
  while (pool.Take()) ++free;
  Require(free == pool.size(), "what is claimed and released is free", text);
}

}  // namespace
}  // namespace dp::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto ledger = dp::ledger::Decode({reinterpret_cast<const char*>(data), size});
  if (ledger.ok()) {
    dp::fuzz::RequireSound(*ledger);
    return 0;
  }
  dp::fuzz::Require(
      absl::IsInvalidArgument(ledger.status()) || absl::IsFailedPrecondition(ledger.status()),
      "an error is InvalidArgument or FailedPrecondition", ledger.status().ToString());
  const std::string message(ledger.status().message());
  dp::fuzz::RequireOneLine(message);
  return 0;
}

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  constexpr std::string_view kMark = "\"crc32:";
  constexpr std::size_t kDigits = 8;
  constexpr unsigned kOneInSoManyStaysWrong = 16;
  size = LLVMFuzzerMutate(data, size, most);
  if (seed % kOneInSoManyStaysWrong == 0) return size;
  // The refusal of a wrong checksum ends with the right one.
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto ledger = dp::ledger::Decode(text);
  const std::string message(ledger.status().message());
  const std::size_t mark = text.find(kMark);
  if (message.find("does not fit") != std::string::npos && mark < size &&
      size - mark >= kMark.size() + kDigits) {
    std::memcpy(data + mark + kMark.size(), message.data() + message.size() - kDigits, kDigits);
  }
  return size;
}
