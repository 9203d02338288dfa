// SPDX-License-Identifier: Apache-2.0
#include <grpc/grpc.h>
#include <grpc/support/time.h>

// The threads that gRPC 1.51 runs callbacks on wait for one second at a time, and each time in vain
// they sleep for 100 ms, in which they serve nobody (src/cpp/common/completion_queue_cc.cc). So an
// idle daemon wakes up twice a second, and one call in ten waits for up to 100 ms.
//
// The shipped daemon is linked with --wrap=grpc_completion_queue_next, which puts this function
// between gRPC and its own: a wait that would end in the future does not end. The one other caller
// in the program, the shutdown of a server, gives the moment at which it begins, and that is kept.
extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): these names are what
// --wrap looks for.
grpc_event __real_grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline,
                                             void* reserved);

grpc_event __wrap_grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline,
                                             void* reserved) {
  if (gpr_time_cmp(deadline, gpr_now(deadline.clock_type)) > 0) {
    deadline = gpr_inf_future(deadline.clock_type);
  }
  return __real_grpc_completion_queue_next(queue, deadline, reserved);
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

}  // extern "C"
