// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "plugin/base/log.h"
#include "plugin/core/device_broker.h"
#include "plugin/core/ports.h"
#include "plugin/core/statistics.h"
#include "plugin/core/status_board.h"
#include "plugin/os/bounded_listener.h"
#include "plugin/os/event_loop.h"
#include "plugin/server/admin_server.h"
#include "plugin/server/daemon_facts.h"

namespace dp::app {

// What others on the node may ask: the state, a stream of it, the metrics; and what they may end.
// Loop thread.
class Admin {
 public:
  // Outlive it.
  struct Parts {
    os::EventLoop& loop;
    core::Timers& timers;
    core::DeviceBroker& broker;
    const core::Statistics& statistics;
    std::function<server::DaemonFacts()> facts;
  };
  explicit Admin(Parts parts) : parts_(std::move(parts)) {}
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;
  ~Admin() = default;

  // Listens at `path`, for root and, unless it is -1, for the group. Errors as
  // os::BoundedListener::Create().
  absl::Status Listen(const std::string& path, std::int64_t gid);
  // Something may have changed. It is looked at, and told, after a second at most.
  void Changed();
  // Something has changed that the broker does not know.
  void Touch();
  // What the log has seen (log::Observe), as an occurrence.
  static core::Occurrence OccurrenceOf(log::Level level, std::string_view message,
                                       log::Fields fields, std::int64_t now_ms);
  void Note(core::Occurrence occurrence);

  // Removes the socket, ends all calls, and calls `stopped` in a later turn of the loop.
  void Stop(std::function<void()> stopped);

 private:
  void Look();
  const core::StatusBoard& Board();

  const Parts parts_;
  core::StatusBoard board_;
  std::uint64_t told_ = 0;  // revision of the board
  bool look_due_ = false;
  bool stopped_ = false;
  std::unique_ptr<server::AdminServer> server_;
  std::unique_ptr<os::BoundedListener> listener_;
  std::jthread shutdown_;
};

}  // namespace dp::app
