// SPDX-License-Identifier: Apache-2.0
#include "plugin/base/excerpt.h"

#include <algorithm>

namespace dp::base {

std::string Excerpt(std::string_view text) {
  constexpr std::size_t kLongest = 40;
  std::string excerpt(text.substr(0, kLongest));
  std::replace_if(
      excerpt.begin(), excerpt.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  if (text.size() > kLongest) excerpt += "...";
  return excerpt;
}

}  // namespace dp::base
