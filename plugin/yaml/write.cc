// SPDX-License-Identifier: Apache-2.0
#include "plugin/yaml/write.h"

#include <yaml-cpp/emitter.h>
#include <yaml-cpp/emittermanip.h>

#include <nlohmann/json.hpp>

namespace dp::yaml {
namespace {

using Json = nlohmann::ordered_json;

// As deep as what is written, which is ours.
void Add(const Json& value, YAML::Emitter& out) {
  if (value.is_object()) {
    out << YAML::BeginMap;
    for (const auto& [key, member] : value.items()) {
      out << YAML::Key << key << YAML::Value;
      Add(member, out);
    }
    out << YAML::EndMap;
  } else if (value.is_array()) {
    if (value.empty()) out << YAML::Flow;
    out << YAML::BeginSeq;
    for (const Json& item : value) Add(item, out);
    out << YAML::EndSeq;
  } else if (value.is_string()) {
    out << YAML::DoubleQuoted << value.get_ref<const std::string&>();
  } else if (value.is_null()) {
    out << YAML::Null;
  } else {
    // Numbers, true and false are written alike.
    out << value.dump();
  }
}

}  // namespace

std::string Write(const nlohmann::ordered_json& value) {
  YAML::Emitter out;
  out.SetNullFormat(YAML::LowerNull);
  Add(value, out);
  return std::string(out.c_str(), out.size()) + '\n';
}

}  // namespace dp::yaml
