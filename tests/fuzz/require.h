// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace dp::fuzz {

// Ends the program, which libFuzzer and ctest take for a failure, unless `holds`. `what` must hold
// for any input; `detail` is what was there instead.
inline void Require(bool holds, std::string_view what, std::string_view detail = "") {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s: %.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(detail.size()), detail.data());
  std::abort();
}

// A message that a person reads: not empty, one line, nothing that a terminal obeys.
inline void RequireOneLine(std::string_view message) {
  bool sound = !message.empty();
  for (const char byte : message) {
    if (static_cast<unsigned char>(byte) < ' ' || byte == 0x7f) sound = false;
  }
  Require(sound, "a message is one line of text", message);
}

}  // namespace dp::fuzz
