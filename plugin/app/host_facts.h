// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

// What /proc says of the host, whatever container asks.
namespace dp::app {

// root= of the kernel's command line. Empty where it cannot be read: what is mounted or claimed is
// found without it.
std::string ReadRootArgument();

}  // namespace dp::app
