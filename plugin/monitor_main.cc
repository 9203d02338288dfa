// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>

#include "plugin/monitor_app/program.h"

int main(int argc, char** argv) {
  try {
    return dp::monitor_app::RunProgram(argc, argv);
  } catch (const std::exception& error) {
    // Nothing of ours throws, so this is the end of a library's or of memory.
    std::fprintf(stderr, "vfio-doorbell-monitor: unexpected: %s\n", error.what());
    return 1;
  }
}
