// SPDX-License-Identifier: Apache-2.0
#include "plugin/settings/settings_json.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

namespace dp::settings {
namespace {

core::Settings Enforced() {
  const core::Window window{.base = 0x09000000, .size = 0x100000};
  return {.resource = "vendor.example/nvme",
          .generation = 41,
          .mode = core::Mode::kEnforce,
          .mode_reason = {},
          .window = window,
          .page_size = 4096,
          .groups = {{.device = "0000:01:00.0",
                      .number = 7,
                      .functions = {"0000:01:00.0", "0000:01:00.1"},
                      .window = window}}};
}

core::Settings Observed() {
  return {.resource = "vendor.example/nvme",
          .generation = 41,
          .mode = core::Mode::kObserve,
          .mode_reason = "this kernel has no msi_window attribute",
          .window = std::nullopt,
          .page_size = 65536,
          .groups = {{.device = "0000:01:00.0", .number = 7, .functions = {}, .window = {}}}};
}

TEST(SettingsJsonTest, SaysWhatIsReserved) {
  EXPECT_EQ(ToJson(Enforced()), R"({
  "apiVersion": "vfio-doorbell/v1",
  "resource": "vendor.example/nvme",
  "generation": 41,
  "mode": "enforce",
  "window": {
    "base": "0x09000000",
    "size": "0x00100000"
  },
  "pageSize": 4096,
  "groups": [
    {
      "device": "0000:01:00.0",
      "number": 7,
      "functions": [
        "0000:01:00.0",
        "0000:01:00.1"
      ],
      "window": {
        "base": "0x09000000",
        "size": "0x00100000"
      }
    }
  ]
}
)");
}

TEST(SettingsJsonTest, SaysWhyNothingIsReserved) {
  const auto json = nlohmann::json::parse(ToJson(Observed()));
  EXPECT_EQ(json["mode"], "observe");
  EXPECT_EQ(json["modeReason"], "this kernel has no msi_window attribute");
  EXPECT_TRUE(json["window"].is_null());
  EXPECT_TRUE(json["groups"][0]["window"].is_null());
}

TEST(SettingsJsonTest, StaysJsonWhateverTheHostCallsItsDevices) {
  core::Settings settings = Enforced();
  settings.groups[0].functions = {"\xff\"\n\\"};
  EXPECT_TRUE(nlohmann::json::accept(ToJson(settings)));
}

// Not a validator of the whole language: required keys there, and no key that is not in the schema.
void ExpectKeysOf(const nlohmann::json& schema, const nlohmann::json& value) {
  for (const auto& key : schema["required"]) EXPECT_TRUE(value.contains(key)) << key;
  for (const auto& [key, unused] : value.items()) {
    EXPECT_TRUE(schema["properties"].contains(key)) << key;
  }
}

TEST(SettingsJsonTest, KeepsToTheSchema) {
  std::ifstream file("api/settings/v1.schema.json");
  const auto schema = nlohmann::json::parse(file);
  for (const core::Settings& settings : {Enforced(), Observed()}) {
    const auto json = nlohmann::json::parse(ToJson(settings));
    ExpectKeysOf(schema, json);
    ExpectKeysOf(schema["properties"]["groups"]["items"], json["groups"][0]);
    if (!json["window"].is_null()) ExpectKeysOf(schema["$defs"]["window"], json["window"]);
    EXPECT_EQ(json["apiVersion"], schema["properties"]["apiVersion"]["const"]);
  }
}

}  // namespace
}  // namespace dp::settings
