// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "plugin/guest/memory_map.h"
#include "tests/fuzz/require.h"

namespace dp::fuzz {

// What holds for the memory map of any guest: no range is free of itself, all are apart, and the
// range that needs no proof is free.
inline void RequireSoundMap(const guest::Layout& layout) {
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

}  // namespace dp::fuzz
