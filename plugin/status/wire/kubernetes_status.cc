// SPDX-License-Identifier: Apache-2.0
#include "plugin/status/wire/kubernetes_status.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "plugin/status/wire/from_proto.h"

namespace dp::status::wire {
namespace {

std::vector<Part> PartsOf(const Options& options) {
  std::vector<Part> parts;
  for (const Part part : kParts) {
    if (IsOn(options, part)) parts.push_back(part);
  }
  return parts;
}

}  // namespace

KubernetesStatus::KubernetesStatus(os::EventLoop& loop, kube::Server server, const Options& options,
                                   std::function<void(const Outcome&)> passed)
    : api_(std::move(server)),
      pass_(api_, options,
            {.steady = std::chrono::steady_clock::now, .wall = std::chrono::system_clock::now}),
      publisher_(loop, pass_, PartsOf(options), PaceOf(options.node),
                 {.cancel = [this] { api_.Cancel(); },
                  .reopen = [this] { api_.Reopen(); },
                  .passed = passed ? std::move(passed) : [](const Outcome&) {}}) {}

void KubernetesStatus::OnState(const admin_client::v1::NodeState& state) {
  publisher_.Show(FromProto(state));
}

void KubernetesStatus::OnLost(const absl::Status& why) {
  publisher_.Silence(std::string(why.message()));
}

}  // namespace dp::status::wire
