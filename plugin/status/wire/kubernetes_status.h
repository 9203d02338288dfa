// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "plugin/admin_client/state_watch.h"
#include "plugin/kube/rest_api.h"
#include "plugin/os/event_loop.h"
#include "plugin/status/pass.h"
#include "plugin/status/publisher.h"

namespace dp::status::wire {

// Tells Kubernetes what the daemon says: for a StateWatch, and on its loop. All of it is in here,
// the client of the API server as well; nothing of it is touched before there is something to tell.
class KubernetesStatus final : public admin_client::StateObserver {
 public:
  // `options.node` is an IsName(). `passed` is called after each pass; empty: nobody is. The loop
  // outlives it, and it outlives the run of the loop.
  KubernetesStatus(os::EventLoop& loop, kube::Server server, const Options& options,
                   std::function<void(const Outcome&)> passed);

  void OnState(const admin_client::v1::NodeState& state) override;
  void OnLost(const absl::Status& why) override;
  // Then calls `stopped`, within the time that a call that is given up needs.
  void Stop(std::function<void()> stopped) { publisher_.Stop(std::move(stopped)); }

 private:
  kube::RestApi api_;
  Pass pass_;
  Publisher publisher_;
};

}  // namespace dp::status::wire
