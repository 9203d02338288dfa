// SPDX-License-Identifier: Apache-2.0
#include "plugin/settings/cdi_json.h"

#include <nlohmann/json.hpp>

#include "plugin/settings/settings_env.h"

namespace dp::settings {
namespace {

using Json = nlohmann::ordered_json;

// The first version in which the name of a device may begin with a digit.
constexpr char kVersion[] = "0.5.0";
// pkg/util/util.go of KubeVirt, NonRootUID: its QEMU must open the nodes.
constexpr int kQemu = 107;

}  // namespace

std::string ToCdiJson(const std::string& key, const core::Settings& settings) {
  Json nodes = Json::array();
  for (const std::string& path : settings.device_nodes)
    nodes.push_back({{"path", path}, {"permissions", "rwm"}, {"uid", kQemu}, {"gid", kQemu}});
  Json variables = Json::array();
  for (const auto& [name, value] : ToVariables(settings)) variables.push_back(name + "=" + value);
  const Json json = {
      {"cdiVersion", kVersion},
      {"kind", settings.resource},
      {"devices",
       Json::array({{{"name", key},
                     {"containerEdits",
                      {{"env", std::move(variables)}, {"deviceNodes", std::move(nodes)}}}}})}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace dp::settings
