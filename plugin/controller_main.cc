// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>

#include "plugin/controller_app/program.h"

int main(int argc, char** argv) {
  try {
    return dp::controller_app::RunProgram(argc, argv);
  } catch (const std::exception& error) {
    // Nothing of ours throws, so this is the end of a library's or of memory.
    std::fprintf(stderr, "vfio-doorbell-controller: unexpected: %s\n", error.what());
    return 1;
  }
}
