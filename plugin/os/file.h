// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dp::os {

// The content of a regular file. Never blocks on a FIFO or device put in its place.
// OutOfRange: it has more than `max_bytes`. FailedPrecondition: not a regular file. Else by errno.
// Each names the path.
absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_bytes);

// Replaces the file as a whole: a reader sees the old content or the new one, also after a power
// cut. `mode` is taken as given, whatever the umask. The new content is first written beside it, to
// `path` + ".new". By errno; names the path. The old file is then as it was.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode);

}  // namespace dp::os
