// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/admin/v1/api.pb.h"
#include "plugin/os/event_loop.h"

namespace dp::admin_client {

namespace v1 = ::vfio_doorbell::admin::v1;

// What the daemon says of itself (api/admin/v1/api.proto). Loop thread: nothing here blocks, and
// each answer comes in a turn of the loop.
class Admin {
 public:
  using Duration = os::EventLoop::Clock::duration;
  template <typename Message>
  using Answered = std::function<void(absl::StatusOr<Message>)>;

  virtual ~Admin() = default;

  // DeadlineExceeded: no answer in time. Else as the daemon or connect(2) say. Each message is one
  // sentence with the path of the socket. `done` is called once, possibly before this returns.
  virtual void GetState(Duration deadline, Answered<v1::NodeState> done) = 0;
  virtual void GetMetrics(Duration deadline, Answered<v1::GetMetricsResponse> done) = 0;
  // Calls `changed` with the state as it is and after each change, until `ended` says why no more
  // comes. DeadlineExceeded: `deadline` has passed without the first one.
  virtual void WatchState(Duration deadline, std::function<void(const v1::NodeState&)> changed,
                          std::function<void(const absl::Status&)> ended) = 0;
};

}  // namespace dp::admin_client
