// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace dp::cli {

// First of all, before there is another thread: keeps memory small, and lets a reader of the log
// that goes away not take the process along.
void PrepareProcess();

}  // namespace dp::cli
