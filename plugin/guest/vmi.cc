// SPDX-License-Identifier: Apache-2.0
#include "plugin/guest/vmi.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/guest/quantity.h"
#include "plugin/json/parse_json.h"

namespace dp::guest {
namespace {

using Json = nlohmann::json;

// More than the API server takes of an object (etcd's limit, 1.5 MiB).
constexpr json::Bounds kBounds{.bytes = std::size_t{4} << 20, .depth = 64};

absl::Status Error(std::string_view field, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", field, what));
}

const Json* Find(const Json& object, const std::string& pointer) {
  const Json::json_pointer path(pointer);
  return object.contains(path) && !object[path].is_null() ? &object[path] : nullptr;
}

std::string TextAt(const Json& object, const std::string& pointer) {
  const Json* found = Find(object, pointer);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

// A size in bytes; 0 if the field is not there. The API takes numbers for texts.
absl::StatusOr<std::uint64_t> SizeAt(const Json& object, const std::string& pointer) {
  const Json* found = Find(object, pointer);
  if (found == nullptr) return 0;
  if (!found->is_string() && !found->is_number()) return Error(pointer, "is no quantity of bytes");
  const std::string text = found->is_string() ? found->get<std::string>() : found->dump();
  auto size = ParseQuantity(text);
  if (!size.ok()) return Error(pointer, std::string(size.status().message()));
  return size;
}

absl::Status ReadDevices(const Json& object, const std::string& pointer, Vmi& vmi) {
  const Json* list = Find(object, pointer);
  if (list == nullptr) return absl::OkStatus();
  if (!list->is_array()) return Error(pointer, "is no list");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string field = fmt::format("{}/{}", pointer, i);
    // One that is claimed from a DRA driver has none.
    std::string resource = TextAt(object, field + "/deviceName");
    if (!resource.empty()) vmi.resources.push_back(std::move(resource));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Vmi> ParseVmi(std::string_view text) {
  ASSIGN_OR_RETURN(const Json object, json::Parse(text, kBounds));
  const std::string kind = TextAt(object, "/kind");
  std::string spec;
  // virt-handler and virt-launcher send one as their cache has it, which leaves the kind out.
  if (kind == "VirtualMachineInstance" || (kind.empty() && Find(object, "/spec/domain"))) {
    spec = "/spec";
  } else if (kind == "VirtualMachine") {
    spec = "/spec/template/spec";
  } else {
    return Error("/kind", "is neither VirtualMachineInstance nor VirtualMachine");
  }
  Vmi vmi{.space = TextAt(object, "/metadata/namespace"),
          .name = TextAt(object, "/metadata/name"),
          .ram = 0,
          .max_ram = 0,
          .resources = {}};
  const std::array sizes = {spec + "/domain/memory/guest",
                            spec + "/domain/resources/requests/memory",
                            spec + "/domain/resources/limits/memory"};
  for (const std::string& field : sizes) {
    ASSIGN_OR_RETURN(vmi.ram, SizeAt(object, field));
    if (vmi.ram > 0) break;
  }
  if (vmi.ram == 0) {
    return Error(sizes.front(), "is missing, and no memory is requested or limited");
  }
  const std::string max_guest = spec + "/domain/memory/maxGuest";
  ASSIGN_OR_RETURN(vmi.max_ram, SizeAt(object, max_guest));
  if (vmi.max_ram > 0 && vmi.max_ram < vmi.ram) {
    return Error(max_guest,
                 fmt::format("is less than the {} bytes that the guest starts with", vmi.ram));
  }
  RETURN_IF_ERROR(ReadDevices(object, spec + "/domain/devices/hostDevices", vmi));
  RETURN_IF_ERROR(ReadDevices(object, spec + "/domain/devices/gpus", vmi));
  return vmi;
}

Layout LayoutOf(const Vmi& vmi) {
  const auto whole = [](std::uint64_t bytes) { return (bytes + kMib - 1) / kMib * kMib; };
  return {.ram = whole(vmi.ram), .max_ram = whole(vmi.max_ram)};
}

}  // namespace dp::guest
