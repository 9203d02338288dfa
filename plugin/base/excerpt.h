// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace dp::base {

// What can be shown of a hostile text within one line of a message: its first 40 bytes, with "?"
// for each that is not printable ASCII, and "..." if there are more.
std::string Excerpt(std::string_view text);

}  // namespace dp::base
