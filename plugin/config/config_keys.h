// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>

// The keys of the configuration file, mapping by mapping: any other key is an error.
// api/config/v1.schema.json says the same; a test compares the two.
namespace dp::config {

inline constexpr std::array<std::string_view, 4> kConfigKeys{"version", "mode", "window",
                                                             "resources"};
inline constexpr std::array<std::string_view, 3> kWindowKeys{"pool", "size", "allowUnproven"};
inline constexpr std::array<std::string_view, 2> kPoolKeys{"start", "end"};
inline constexpr std::array<std::string_view, 5> kResourceKeys{"name", "selectors", "observe",
                                                               "iommufd", "cdi"};
inline constexpr std::array<std::string_view, 9> kSelectorKeys{
    "vendor",    "device",   "class", "subsystemVendor", "subsystemDevice", "driver",
    "addresses", "numaNode", "bind"};

}  // namespace dp::config
