// SPDX-License-Identifier: Apache-2.0
#include "plugin/ledger/driver_file.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstddef>
#include <nlohmann/json.hpp>

#include "plugin/ledger/set_aside.h"
#include "plugin/os/file.h"

namespace dp::ledger {
namespace {

using Json = nlohmann::json;

constexpr char kVersion[] = "vfio-doorbell/drivers/v1";
constexpr mode_t kFileMode = 0600;
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

absl::StatusOr<core::DriverRecord> Decode(const std::string& text) {
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

absl::StatusOr<core::DriverRecord> DriverFile::Load() {
  const auto text = os::ReadFile(path_, kMaxBytes);
  if (absl::IsOutOfRange(text.status())) return SetAside(path_, text.status());
  // Not read is not unreadable: it may be all right the next time.
  if (!text.ok()) return text.status();
  auto record = Decode(*text);
  if (record.ok()) return record;
  return SetAside(path_,
                  absl::InvalidArgumentError(fmt::format("{} is not readable: {}", path_,
                                                         std::string(record.status().message()))));
}

absl::Status DriverFile::Save(const core::DriverRecord& record) {
  return os::WriteFileAtomically(path_, Encode(record), kFileMode);
}

}  // namespace dp::ledger
