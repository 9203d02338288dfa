// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "plugin/base/unique_fd.h"

namespace dp::os {

// Whether symbolic links on the way are followed.
enum class Links { kRefuse, kFollow };

// openat(2), confined: nothing outside `directory` is opened, whatever `path` and the links on the
// way say (openat2(2), since Linux 5.6). Close-on-exec, and never blocks on a FIFO. Invalid on
// failure, with errno set: EXDEV for a way out, ELOOP for a refused link or for links without end.
base::UniqueFd OpenBeneath(int directory, const char* path, int flags, Links links);

}  // namespace dp::os
