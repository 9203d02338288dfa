// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace dp::os {

// Of this boot of the host, whatever container asks (random(4)). Empty on a host that does not say:
// then no record of another start is of this boot.
std::string ReadBootId();

}  // namespace dp::os
