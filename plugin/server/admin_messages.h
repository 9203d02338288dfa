// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "api/admin/v1/api.pb.h"
#include "plugin/core/statistics.h"
#include "plugin/core/status_board.h"
#include "plugin/server/daemon_facts.h"

// What the daemon knows as the messages of its admin API (api/admin/v1/api.proto). Pure functions,
// but for the counts of reasons, which are the process's (base/log.h).
namespace dp::server {

namespace admin = ::vfio_doorbell::admin::v1;

void FillState(const core::StatusBoard& board, const DaemonFacts& facts, admin::NodeState& state);

// docs/metrics.md has the names.
void FillMetrics(const core::NodeStatus& status, const DaemonFacts& facts,
                 const core::Statistics& statistics, std::int64_t now_ms,
                 admin::GetMetricsResponse& metrics);

}  // namespace dp::server
