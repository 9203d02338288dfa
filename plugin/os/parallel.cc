// SPDX-License-Identifier: Apache-2.0
#include "plugin/os/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace dp::os {

std::size_t AvailableProcessors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // Fails on hosts with more processors than the set holds: they have plenty.
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return CPU_SETSIZE;
  return static_cast<std::size_t>(std::max(CPU_COUNT(&set), 1));
}

// pthreads and not std::thread, whose constructor throws where the host refuses a thread (a pids
// limit, for example).
void RunOnThreads(std::size_t threads, const std::function<void()>& work) {
  const auto run = [](void* argument) -> void* {
    (*static_cast<const std::function<void()>*>(argument))();
    return nullptr;
  };
  std::vector<pthread_t> started;
  for (std::size_t i = 1; i < threads; ++i) {
    pthread_t thread{};
    if (::pthread_create(&thread, nullptr, run, const_cast<std::function<void()>*>(&work)) != 0)
      break;
    started.push_back(thread);
  }
  work();
  for (const pthread_t thread : started) ::pthread_join(thread, nullptr);
}

void RunDetached(std::function<void()> work) {
  const auto run = [](void* argument) -> void* {
    const std::unique_ptr<std::function<void()>> owned(
        static_cast<std::function<void()>*>(argument));
    (*owned)();
    return nullptr;
  };
  auto argument = std::make_unique<std::function<void()>>(std::move(work));
  pthread_t thread{};
  if (::pthread_create(&thread, nullptr, run, argument.get()) != 0) {
    (*argument)();
    return;
  }
  static_cast<void>(argument.release());  // the thread's now
  ::pthread_detach(thread);
}

}  // namespace dp::os
