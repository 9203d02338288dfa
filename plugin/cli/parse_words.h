// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace dp::cli {

// For tests: what `parse` makes of argc and argv as a shell gives them to `program`.
template <typename Parse>
auto ParseWords(Parse parse, const char* program, std::vector<const char*> words) {
  words.insert(words.begin(), program);
  return parse(static_cast<int>(words.size()), words.data());
}

}  // namespace dp::cli
