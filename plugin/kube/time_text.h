// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

namespace dp::kube {

// MicroTime of Kubernetes: "2026-11-26T12:00:00.000000Z".
std::string MicroTimeText(std::chrono::system_clock::time_point time);
// Time of Kubernetes: "2026-11-26T12:00:00Z".
std::string TimeText(std::chrono::system_clock::time_point time);

}  // namespace dp::kube
