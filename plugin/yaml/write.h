// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace dp::yaml {

// The same value in YAML, which any reader takes for the same: texts are quoted. Ends with a
// newline.
std::string Write(const nlohmann::ordered_json& value);

}  // namespace dp::yaml
