// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/open_beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "plugin/os/syscall.h"

namespace dp::os {

base::UniqueFd OpenBeneath(int directory, const char* path, int flags, Links links) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  if ((flags & O_PATH) == 0) how.flags |= O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
                (links == Links::kRefuse ? RESOLVE_NO_SYMLINKS : 0U);
  // The kernel gives up on ".." with EAGAIN if anything on the host was renamed or mounted
  // meanwhile. Anew succeeds sooner or later, the bound only keeps a bug from becoming a busy loop.
  constexpr int kAttempts = 1000;
  int fd = -1;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    // glibc has no wrapper for it.
    fd = static_cast<int>(
        RetryOnEintr([&] { return ::syscall(SYS_openat2, directory, path, &how, sizeof(how)); }));
    if (fd >= 0 || errno != EAGAIN) break;
  }
  return base::UniqueFd(fd);
}

}  // namespace dp::os
