// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

// What /proc says of the host, whatever container asks.
namespace dp::app {

// Of this boot. Empty on a host that does not say: then no record of another start is of this boot.
std::string ReadBootId();

// root= of the kernel's command line. Empty where it cannot be read: what is mounted or claimed is
// found without it.
std::string ReadRootArgument();

}  // namespace dp::app
