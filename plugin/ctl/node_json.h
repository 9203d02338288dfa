// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "plugin/core/window.h"
#include "plugin/ctl/node.h"

// A node as api/ctl/v1.schema.json has it, there and back.
namespace dp::ctl {

inline constexpr std::string_view kApiVersion = "vfio-doorbell/ctl/v1";

// {"base": "0x09100000", "size": "0x00100000"}; null: none.
nlohmann::ordered_json JsonOf(const std::optional<core::Window>& window);
nlohmann::ordered_json JsonOf(const Device& device);
nlohmann::ordered_json JsonOf(const Occurrence& occurrence);
// A document of the kind Node.
nlohmann::ordered_json JsonOf(const Node& node);

// NodeFromJson(JsonOf(node).dump()) == node. Fields that are not there, or of
// another type, are taken for absent. InvalidArgument: it is no document of the kind Node; a clause
// about "it".
absl::StatusOr<Node> NodeFromJson(std::string_view text);

}  // namespace dp::ctl
