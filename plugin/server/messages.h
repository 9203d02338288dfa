// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/support/status.h>

#include <span>

#include "absl/status/status.h"
#include "api/kubelet/v1beta1/api.pb.h"
#include "plugin/core/grant.h"
#include "plugin/core/offers.h"

// Between the messages of the kubelet and the types of the core. Pure functions.
namespace dp::server {

// The codes of both have the same numbers (absl/status/status.h).
grpc::Status ToGrpc(const absl::Status& status);

// Adds all offers to the list.
void FillList(std::span<const core::Offer> offers, v1beta1::ListAndWatchResponse& list);

void FillAllocation(const core::Grant& grant, v1beta1::ContainerAllocateResponse& response);

}  // namespace dp::server
