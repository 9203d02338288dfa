// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

namespace dp::os {

// How many processors this process may run on; at least 1.
std::size_t AvailableProcessors();

// Runs `work` on `threads` threads at once, the calling one among them, and returns when all have
// returned. Where the host refuses a thread there are fewer: so `work` must get its share from
// something common, for example a counter, and not from being called a certain number of times. It
// is called at least once, on the calling thread.
void RunOnThreads(std::size_t threads, const std::function<void()>& work);

// Runs `work` on a thread of its own, which nobody waits for; on the calling one where the host
// refuses a thread.
void RunDetached(std::function<void()> work);

}  // namespace dp::os
