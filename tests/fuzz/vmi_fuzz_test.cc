// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "plugin/guest/memory_map.h"
#include "plugin/guest/vmi.h"
#include "tests/fuzz/require.h"

// Input: a VirtualMachineInstance or VirtualMachine as JSON.
namespace dp::fuzz {
namespace {

void RequireSoundMap(const guest::Vmi& vmi) {
  const guest::Layout layout = guest::LayoutOf(vmi);
  Require(layout.ram >= vmi.ram && layout.ram - vmi.ram < guest::kMib, "RAM is whole MiB");
  const auto map = guest::MemoryMap(layout);
  if (!map.ok()) {
    Require(absl::IsInvalidArgument(map.status()), "an error is InvalidArgument",
            map.status().ToString());
    RequireOneLine(std::string(map.status().message()));
    return;
  }
  std::uint64_t end = 0;
  for (const guest::Range& range : *map) {
    Require(range.start < range.end, "a range is not empty",
            guest::FormatRange(range.start, range.end));
    Require(range.start >= end, "ranges are in order and apart",
            guest::FormatRange(range.start, range.end));
    end = range.end;
    const guest::Verdict verdict =
        guest::Judge({.base = range.start, .size = range.end - range.start}, *map);
    Require(verdict.judgement != guest::Judgement::kAccept && !verdict.reason.empty(),
            "what is used is not free", guest::FormatRange(range.start, range.end));
  }
  const guest::Verdict verdict = guest::Judge(
      {.base = guest::kProvenStart, .size = guest::kProvenEnd - guest::kProvenStart}, *map);
  Require(verdict.judgement == guest::Judgement::kAccept, "the proven range is free",
          verdict.reason);
}

}  // namespace
}  // namespace dp::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto vmi = dp::guest::ParseVmi({reinterpret_cast<const char*>(data), size});
  if (vmi.ok()) {
    dp::fuzz::Require(vmi->ram > 0, "a guest has RAM");
    dp::fuzz::RequireSoundMap(*vmi);
  } else {
    dp::fuzz::Require(absl::IsInvalidArgument(vmi.status()), "an error is InvalidArgument",
                      vmi.status().ToString());
    dp::fuzz::RequireOneLine(std::string(vmi.status().message()));
  }
  return 0;
}
