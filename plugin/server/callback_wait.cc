// SPDX-License-Identifier: Apache-2.0
#include <grpc/grpc.h>
#include <grpc/support/time.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

// The threads that gRPC 1.51 runs callbacks on wait for one second at a time, and each time in vain
// they sleep for 100 ms, in which they serve nobody (src/cpp/common/completion_queue_cc.cc). So an
// idle daemon wakes up twice a second, and one call in ten waits for up to 100 ms. There are two of
// them at least, and each call makes them wake up each other, although none of our callbacks waits
// for anything that would need a second one.
//
// The shipped daemon is linked with --wrap=grpc_completion_queue_next, which puts this function
// between gRPC and its own: a wait that would end in the future does not end, and only the first
// thread that comes gets to wait for events of a queue. The others stay here until the queue is
// shut down. The one other caller in the program, the shutdown of a server, gives the moment at
// which it begins, and that is kept.
namespace {

std::mutex mutex;
std::condition_variable queue_ended;
std::map<grpc_completion_queue*, std::thread::id> waiters;  // guarded by mutex

void WaitForTurn(grpc_completion_queue* queue) {
  const auto self = std::this_thread::get_id();
  std::unique_lock lock(mutex);
  const auto [waiter, first] = waiters.try_emplace(queue, self);
  if (first || waiter->second == self) return;
  queue_ended.wait(lock, [queue] { return !waiters.contains(queue); });
}

void EndQueue(grpc_completion_queue* queue) {
  const std::lock_guard lock(mutex);
  waiters.erase(queue);
  queue_ended.notify_all();
}

}  // namespace

extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): these names are what
// --wrap looks for.
grpc_event __real_grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline,
                                             void* reserved);

grpc_event __wrap_grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline,
                                             void* reserved) {
  if (gpr_time_cmp(deadline, gpr_now(deadline.clock_type)) <= 0)
    return __real_grpc_completion_queue_next(queue, deadline, reserved);
  WaitForTurn(queue);
  const grpc_event event =
      __real_grpc_completion_queue_next(queue, gpr_inf_future(deadline.clock_type), reserved);
  if (event.type == GRPC_QUEUE_SHUTDOWN) EndQueue(queue);
  return event;
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

}  // extern "C"
