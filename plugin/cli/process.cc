// SPDX-License-Identifier: Apache-2.0
#include "plugin/cli/process.h"

#include <malloc.h>
#include <signal.h>

namespace dp::cli {

void PrepareProcess() {
  // glibc gives each thread an arena of its own, and gRPC has a dozen threads that do next to
  // nothing. Large blocks, as a scan needs them for a moment, are mapped, so that freeing them
  // gives them back.
  constexpr int kMappedFrom = 64 * 1024;
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_MMAP_THRESHOLD, kMappedFrom);
  ::signal(SIGPIPE, SIG_IGN);
}

}  // namespace dp::cli
