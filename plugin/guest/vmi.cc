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

constexpr json::Bounds kBounds{.bytes = kMostVmiBytes, .depth = kMostVmiDepth};

const Json* Find(const Json& object, const std::string& pointer) {
  const Json::json_pointer path(pointer);
  return object.contains(path) && !object[path].is_null() ? &object[path] : nullptr;
}

std::string TextAt(const Json& object, const std::string& pointer) {
  const Json* found = Find(object, pointer);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

class Reader {
 public:
  // `field` becomes the field that the error is about, if there is one.
  Reader(const Json& object, std::string& field) : object_(object), field_(field) {}

  absl::StatusOr<Vmi> Read() {
    ASSIGN_OR_RETURN(const std::string spec, FindSpec());
    Vmi vmi;
    vmi.space = TextAt(object_, "/metadata/namespace");
    vmi.name = TextAt(object_, "/metadata/name");
    vmi.architecture = TextAt(object_, spec + "/architecture");
    RETURN_IF_ERROR(ReadMemory(spec + "/domain", vmi));
    RETURN_IF_ERROR(ReadDevices(spec + "/domain/devices/hostDevices", vmi));
    RETURN_IF_ERROR(ReadDevices(spec + "/domain/devices/gpus", vmi));
    return vmi;
  }

 private:
  absl::Status Error(const std::string& field, std::string_view what) {
    field_ = field;
    return absl::InvalidArgumentError(fmt::format("{}: {}", field, what));
  }

  absl::StatusOr<std::string> FindSpec() {
    const std::string kind = TextAt(object_, "/kind");
    // virt-handler and virt-launcher send one as their cache has it, which leaves the kind out.
    if (kind == "VirtualMachineInstance" || (kind.empty() && Find(object_, "/spec/domain")))
      return "/spec";
    if (kind == "VirtualMachine") return "/spec/template/spec";
    return Error("/kind", "is neither VirtualMachineInstance nor VirtualMachine");
  }

  // A size in bytes; 0 if the field is not there. The API takes numbers for texts.
  absl::StatusOr<std::uint64_t> SizeAt(const std::string& pointer) {
    const Json* found = Find(object_, pointer);
    if (found == nullptr) return 0;
    if (!found->is_string() && !found->is_number())
      return Error(pointer, "is no quantity of bytes");
    const std::string text = found->is_string() ? found->get<std::string>() : found->dump();
    auto size = ParseQuantity(text);
    if (!size.ok()) return Error(pointer, std::string(size.status().message()));
    return size;
  }

  absl::Status ReadMemory(const std::string& domain, Vmi& vmi) {
    const std::array sizes = {domain + "/memory/guest", domain + "/resources/requests/memory",
                              domain + "/resources/limits/memory"};
    for (const std::string& field : sizes) {
      ASSIGN_OR_RETURN(vmi.ram, SizeAt(field));
      if (vmi.ram > 0) break;
    }
    if (vmi.ram == 0)
      return Error(sizes.front(), "is missing, and no memory is requested or limited");
    const std::string max_guest = domain + "/memory/maxGuest";
    ASSIGN_OR_RETURN(vmi.max_ram, SizeAt(max_guest));
    if (vmi.max_ram > 0 && vmi.max_ram < vmi.ram) {
      return Error(max_guest,
                   fmt::format("is less than the {} bytes that the guest starts with", vmi.ram));
    }
    return absl::OkStatus();
  }

  absl::Status ReadDevices(const std::string& pointer, Vmi& vmi) {
    const Json* list = Find(object_, pointer);
    if (list == nullptr) return absl::OkStatus();
    if (!list->is_array()) return Error(pointer, "is no list");
    for (std::size_t i = 0; i < list->size(); ++i) {
      // One that is claimed from a DRA driver has none.
      std::string resource = TextAt(object_, fmt::format("{}/{}/deviceName", pointer, i));
      if (!resource.empty()) vmi.resources.push_back(std::move(resource));
    }
    return absl::OkStatus();
  }

  const Json& object_;
  std::string& field_;
};

}  // namespace

absl::StatusOr<Vmi> ParseVmi(std::string_view text) {
  ASSIGN_OR_RETURN(const Json object, json::Parse(text, kBounds));
  std::string field;
  return ReadVmi(object, field);
}

absl::StatusOr<Vmi> ReadVmi(const Json& object, std::string& field) {
  return Reader(object, field).Read();
}

Layout LayoutOf(const Vmi& vmi) {
  const auto whole = [](std::uint64_t bytes) { return (bytes + kMib - 1) / kMib * kMib; };
  return {.ram = whole(vmi.ram), .max_ram = whole(vmi.max_ram)};
}

}  // namespace dp::guest
