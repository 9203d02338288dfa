// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "plugin/admin_client/admin.h"
#include "plugin/admin_client/state_watch.h"
#include "plugin/monitor/daemon_check.h"
#include "plugin/monitor/facts_of_state.h"
#include "plugin/monitor/http_server.h"
#include "plugin/os/event_loop.h"

namespace dp::monitor {

// What the pages are made of. Everything outlives them, and belongs to the loop.
struct Sources {
  os::EventLoop& loop;
  admin_client::Admin& admin;
  DaemonCheck& check;
  const admin_client::StateWatch& watch;
  const FactsOfState& facts;
  // Calls of the API server by result, so far; null: nothing is reported to it.
  std::function<std::map<std::string, std::uint64_t>()> api_calls;
};

// How long a page waits. Each takes this and what the loop has before, at most.
struct PageTimes {
  std::chrono::milliseconds metrics{1000};  // for the daemon's metrics
  std::chrono::milliseconds loop{1000};     // on top of what the daemon may take
};

// /metrics, /livez, /livez/monitor, /readyz and /startupz. docs/monitoring.md says what each is
// for.
HttpServer::Pages MakePages(const Sources& sources, PageTimes times);

}  // namespace dp::monitor
