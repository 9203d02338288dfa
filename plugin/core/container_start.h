// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/reason.h"
#include "plugin/core/grant.h"
#include "plugin/core/handover.h"
#include "plugin/core/pod_index.h"
#include "plugin/core/ports.h"
#include "plugin/core/reservations.h"

namespace dp::core {

// The last look before a container starts, at its first start and at each restart: the groups are
// as they were handed over, each has its window, and all groups of the pod have the same one.
//
// Puts right what can be: a window that the kernel has forgotten, as after a reboot; devices that
// are not in the record; windows of one pod that differ. Loop thread; one at a time.
class ContainerStart {
 public:
  using Done = std::function<void(absl::Status)>;
  // What the kubelet says of all pods; not Ok: it does not.
  using Listed = absl::StatusOr<std::vector<PodDevices>>;

  // `listed` is empty if the kubelet need not be asked (IsSettled()). `tools` outlive the object.
  ContainerStart(Tools tools, std::size_t resource, std::vector<std::string> devices,
                 std::optional<Listed> listed, Done done)
      : tools_(tools),
        resource_(resource),
        devices_(std::move(devices)),
        listed_(std::move(listed)),
        done_(std::move(done)) {}
  ContainerStart(const ContainerStart&) = delete;
  ContainerStart& operator=(const ContainerStart&) = delete;

  // Whether a container was started with these devices before and its pod is known, so that there
  // is nothing to ask the kubelet for.
  static bool IsSettled(Reservations& reservations, const std::vector<std::string>& devices);

  // Calls `done` once, possibly before it returns, and the object may then be destroyed.
  // InvalidArgument, NotFound: as Catalogue::LookAgain(). FailedPrecondition: one of the groups is
  // not as it was handed over. Unavailable: a VMM holds a group whose window is another one, or the
  // daemon ends. ResourceExhausted: no window is free. Internal: the ledger or the settings cannot
  // be written. Each message begins with a reason in CamelCase, as the reasons of Kubernetes events
  // are written.
  void Run();

 private:
  void ReserveAnew();
  void Repair();
  void Unify();
  void Join(Reservations::Lease& into, std::span<Reservations::Lease* const> leases);
  void Finish();
  void Fail(base::Reason reason, const absl::Status& status);
  void Answer(absl::Status status);
  [[nodiscard]] std::optional<PodName> FindPod(const PodIndex& pods);
  absl::StatusOr<std::vector<Target>> LookAt(const Allocation& allocation);

  const Tools tools_;
  const std::size_t resource_;
  const std::vector<std::string> devices_;
  const std::optional<Listed> listed_;
  const Done done_;
  std::vector<Target> targets_;
};

}  // namespace dp::core
