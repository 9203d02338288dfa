// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/app/options.h"
#include "plugin/core/config.h"

namespace dp::app {

// The daemon: the one place that knows all its parts and how long they live.
class App {
 public:
  // Builds everything that has no effect outside of the process, and looks at the host.
  // InvalidArgument: the configuration does not fit the host. FailedPrecondition: the host cannot
  // be read. Internal: the kernel refuses an event loop.
  static absl::StatusOr<std::unique_ptr<App>> Create(const Options& options, core::Config config);
  virtual ~App() = default;

  // Serves until SIGTERM or SIGINT. Not Ok: it did not come so far; what is in the way, with its
  // path.
  virtual absl::Status Run() = 0;

 protected:
  App() = default;
};

}  // namespace dp::app
