// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/mark.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/json/parse_json.h"

namespace dp::controller {
namespace {

using Json = nlohmann::ordered_json;

// The API server takes 256 KiB of annotations (apimachinery pkg/api/validation/objectmeta.go).
constexpr json::Bounds kBounds{.bytes = std::size_t{256} << 10, .depth = 8};
constexpr int kVersion = 1;
constexpr std::array<std::string_view, 5> kMakeable{kConfiguration, kPermitted, kPciDevices,
                                                    kDeveloper, kGates};

absl::Status NotOurs(const char* what) { return absl::InvalidArgumentError(what); }

}  // namespace

std::string FormatMark(const Mark& mark) {
  Json permits = Json::array();
  for (const Permit& permit : mark.permits) {
    permits.push_back(Json::array({permit.selector, permit.resource}));
  }
  Json object;
  object["version"] = kVersion;
  object["pciHostDevices"] = std::move(permits);
  object["featureGate"] = mark.feature_gate;
  object["made"] = mark.made;
  return object.dump();
}

absl::StatusOr<Mark> ParseMark(std::string_view text) {
  ASSIGN_OR_RETURN(const nlohmann::json object, json::Parse(text, kBounds));
  if (!object.is_object() || !object.contains("version") || object["version"] != kVersion) {
    return NotOurs("it has no version that is known here");
  }
  const auto permits = object.find("pciHostDevices");
  const auto gate = object.find("featureGate");
  const auto made = object.find("made");
  if (permits == object.end() || !permits->is_array()) return NotOurs("pciHostDevices is no list");
  if (gate == object.end() || !gate->is_boolean()) return NotOurs("featureGate is no boolean");
  if (made == object.end() || !made->is_array()) return NotOurs("made is no list");
  Mark mark;
  mark.feature_gate = gate->get<bool>();
  for (const nlohmann::json& permit : *permits) {
    if (!permit.is_array() || permit.size() != 2 || !permit[0].is_string() ||
        !permit[1].is_string()) {
      return NotOurs("an item of pciHostDevices is no pair of texts");
    }
    mark.permits.push_back({permit[0].get<std::string>(), permit[1].get<std::string>()});
  }
  for (const nlohmann::json& pointer : *made) {
    // What is listed here may be removed, so nothing else may be.
    if (std::find(kMakeable.begin(), kMakeable.end(), pointer) == kMakeable.end()) {
      return NotOurs("an item of made is nothing that we make");
    }
    mark.made.push_back(pointer.get<std::string>());
  }
  return mark;
}

}  // namespace dp::controller
