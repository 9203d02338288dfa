// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "plugin/ctl/diag.h"
#include "plugin/ctl/explain.h"
#include "plugin/ctl/show_node.h"
#include "plugin/ctl/whois.h"
#include "tests/fakes/some_node.h"

// What is written for programs, held against the schema that they are given.
namespace dp::ctl {
namespace {

using Json = nlohmann::json;

bool IsOfType(const std::string& type, const Json& value) {
  if (type == "null") return value.is_null();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return value.is_number_integer();
  if (type == "array") return value.is_array();
  return type == "object" && value.is_object();
}

// Not a validator of the whole language, but of what the schema uses. Stricter in one thing: a
// field that the schema does not have is wrong. Returns what is; empty: it fits.
std::string Misfit(const Json& root, const Json& schema, const Json& value) {
  if (schema.contains("$ref"))
    return Misfit(root, root[Json::json_pointer(schema["$ref"].get<std::string>().substr(1))],
                  value);
  if (schema.contains("oneOf")) {
    const auto fits =
        std::count_if(schema["oneOf"].begin(), schema["oneOf"].end(),
                      [&](const Json& choice) { return Misfit(root, choice, value).empty(); });
    return fits == 1 ? "" : "not one of: " + value.dump();
  }
  if (schema.contains("const") && value != schema["const"]) return "not const: " + value.dump();
  if (schema.contains("enum") &&
      std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end()) {
    return "not in enum: " + value.dump();
  }
  if (schema.contains("type")) {
    const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    if (std::none_of(types.begin(), types.end(),
                     [&](const Json& type) { return IsOfType(type.get<std::string>(), value); })) {
      return "not of type " + types.dump() + ": " + value.dump();
    }
  }
  if (schema.contains("pattern") &&
      !std::regex_search(value.get<std::string>(),
                         std::regex(schema["pattern"].get<std::string>()))) {
    return "not of the pattern: " + value.dump();
  }
  if (schema.contains("items")) {
    for (const Json& item : value) {
      if (auto misfit = Misfit(root, schema["items"], item); !misfit.empty()) return misfit;
    }
  }
  if (!schema.contains("properties")) return {};
  for (const Json& key : schema["required"]) {
    if (!value.contains(key.get<std::string>())) return "without " + key.dump();
  }
  for (const auto& [key, member] : value.items()) {
    if (!schema["properties"].contains(key)) return "unknown " + key;
    if (auto misfit = Misfit(root, schema["properties"][key], member); !misfit.empty())
      return key + ": " + misfit;
  }
  return {};
}

class SchemaTest : public testing::Test {
 protected:
  SchemaTest() {
    std::ifstream file("api/ctl/v1.schema.json");
    schema_ = Json::parse(file);
  }

  void ExpectFits(const std::string& kind, const std::string& text) const {
    const Json document = Json::parse(text);
    EXPECT_EQ(document["kind"], kind);
    EXPECT_EQ(Misfit(schema_, schema_["$defs"][kind], document), "");
    EXPECT_EQ(Misfit(schema_, schema_, document), "");
  }

  Json schema_;
  const Style style_{.format = Format::kJson};
};

TEST_F(SchemaTest, HasANode) {
  ExpectFits("Node", ShowList(fakes::SomeNode(), style_).text);
  ExpectFits("Node", ShowList({}, style_).text);
  ExpectFits("Node", ShowDevices(fakes::SomeNode(), "2", style_).text);
}

TEST_F(SchemaTest, HasWhois) {
  ExpectFits("Whois", ShowWhois("0x09100000", fakes::SomeNode(), {}, style_).text);
  ExpectFits("Whois", ShowWhois("event 0x10 received:", fakes::SomeNode(), {}, style_).text);
  ExpectFits("Whois", ShowWhois("", fakes::SomeNode(), {}, style_).text);
}

TEST_F(SchemaTest, HasAnExplanation) {
  Guest guest;
  guest.map = guest::MemoryMap({.ram = guest::kGib}).value();
  ExpectFits("Explanation", Explain(guest, JudgePool(guest, {}), "", style_).text);
  const core::Pool pool{.start = 0x3f000000, .end = 0x41000000, .window_size = 0x100000};
  ExpectFits("Explanation", Explain(guest, JudgePool(guest, pool), "", style_).text);
}

TEST_F(SchemaTest, HasADiagnosis) {
  const Evidence evidence{.facts = {},
                          .host = absl::FailedPreconditionError("none"),
                          .config = absl::NotFoundError("none"),
                          .ledger = absl::OkStatus(),
                          .daemon = absl::UnavailableError("down"),
                          .node = {}};
  ExpectFits("Diagnosis", ShowDiagnosis(Diagnose(evidence), style_).text);
}

}  // namespace
}  // namespace dp::ctl
