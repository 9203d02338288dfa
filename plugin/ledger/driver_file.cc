// SPDX-License-Identifier: Apache-2.0
#include "plugin/ledger/driver_file.h"

#include <fmt/format.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

namespace dp::ledger {
namespace {

using Json = nlohmann::json;

constexpr char kVersion[] = "vfio-doorbell/drivers/v1";
constexpr std::size_t kMaxBytes = 1 << 20;  // some 10,000 functions

std::string Encode(const core::DriverRecord& record) {
  Json functions = Json::array();
  for (const core::DriverState& state : record.former) {
    functions.push_back({{"address", state.address},
                         {"driver", state.driver},
                         {"driverOverride", state.driver_override}});
  }
  const Json document = {
      {"apiVersion", kVersion}, {"bootId", record.boot_id}, {"functions", functions}};
  constexpr int kIndent = 1;
  return document.dump(kIndent, ' ', true, Json::error_handler_t::replace) + "\n";
}

absl::StatusOr<core::DriverRecord> Decode(std::string_view text) {
  try {
    const Json document = Json::parse(text);
    if (const auto version = document.at("apiVersion").get<std::string>(); version != kVersion) {
      return absl::InvalidArgumentError(
          fmt::format("its version is \"{}\", not {}", version, kVersion));
    }
    core::DriverRecord record{.boot_id = document.at("bootId").get<std::string>(), .former = {}};
    for (const Json& function : document.at("functions")) {
      record.former.push_back(
          {.address = function.at("address").get<std::string>(),
           .driver = function.at("driver").get<std::string>(),
           .driver_override = function.at("driverOverride").get<std::string>()});
    }
    return record;
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

}  // namespace

absl::StatusOr<core::DriverRecord> DriverFile::Load() { return file_.Load(kMaxBytes, &Decode); }

absl::Status DriverFile::Save(const core::DriverRecord& record) {
  return file_.Save(Encode(record));
}

}  // namespace dp::ledger
