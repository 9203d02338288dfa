// SPDX-License-Identifier: Apache-2.0
#include "plugin/settings/settings_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

namespace dp::settings {
namespace {

// Keeps the keys in the order in which a person wants to read them.
using Json = nlohmann::ordered_json;

// Addresses are texts because JSON numbers are exact only up to 2^53.
Json WindowJson(const std::optional<core::Window>& window) {
  if (!window) return nullptr;
  return {{"base", fmt::format("{:#010x}", window->base)},
          {"size", fmt::format("{:#010x}", window->size)}};
}

}  // namespace

std::string ToJson(const core::Settings& settings) {
  Json groups = Json::array();
  for (const core::Settings::Group& group : settings.groups) {
    groups.push_back({{"device", group.device},
                      {"number", group.number},
                      {"functions", group.functions},
                      {"window", WindowJson(group.window)}});
  }
  Json json = {{"apiVersion", "vfio-doorbell/v1"},
               {"resource", settings.resource},
               {"generation", settings.generation},
               {"mode", core::ModeName(settings.mode)}};
  if (!settings.mode_reason.empty()) json["modeReason"] = settings.mode_reason;
  json["window"] = WindowJson(settings.window);
  json["pageSize"] = settings.page_size;
  json["groups"] = std::move(groups);
  // Names from the host may hold bytes that are no UTF-8; they must not make the whole file fail.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace dp::settings
