// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>

#include "plugin/ctl/program.h"

int main(int argc, char** argv) {
  try {
    return dp::ctl::RunProgram(argc, argv);
  } catch (const std::exception& error) {
    // Nothing of ours throws, so this is the end of a library's or of memory.
    std::fprintf(stderr, "doorbellctl: unexpected: %s\n", error.what());
    return 1;
  }
}
