// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace dp::ctl {

// Exit codes of the program; also in --help.
inline constexpr int kExitOk = 0;
inline constexpr int kExitNo = 1;          // the answer is no: refused, or something is wrong
inline constexpr int kExitUsage = 2;       // command line, or what it names cannot be understood
inline constexpr int kExitUnreadable = 3;  // daemon or host

// What a command comes to.
struct Answer {
  int exit_code = kExitOk;
  std::string text;                // for standard output
  std::vector<std::string> notes;  // for standard error, a line each
};

// That there is none: one sentence for standard error.
inline Answer NoAnswer(int exit_code, std::string sentence) {
  return {.exit_code = exit_code, .text = {}, .notes = {std::move(sentence)}};
}

}  // namespace dp::ctl
