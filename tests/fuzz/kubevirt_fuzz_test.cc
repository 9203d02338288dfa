// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/controller/mark.h"
#include "plugin/controller/plan.h"
#include "plugin/json/parse_json.h"
#include "tests/fuzz/require.h"

// Input: a KubeVirt CR as JSON, as the API server would answer with it.
namespace dp::fuzz {
namespace {

using Json = nlohmann::json;

constexpr json::Bounds kBounds{.bytes = std::size_t{1} << 20, .depth = 64};

// The entries that are not ours by the CR's own mark, in their order.
std::string ForeignOf(const Json& cr) {
  std::vector<controller::Permit> ours;
  const Json::json_pointer annotations("/metadata/annotations");
  if (cr.contains(annotations) && cr[annotations].is_object() &&
      cr[annotations].contains(controller::kMark) &&
      cr[annotations][controller::kMark].is_string()) {
    const auto mark = controller::ParseMark(cr[annotations][controller::kMark].get<std::string>());
    if (mark.ok()) ours = mark->permits;
  }
  Json foreign = Json::array();
  const Json::json_pointer list(controller::kPciDevices);
  if (!cr.contains(list) || !cr[list].is_array()) return foreign.dump();
  for (const Json& entry : cr[list]) {
    const auto is_it = [&](const controller::Permit& permit) {
      return entry == Json({{"pciVendorSelector", permit.selector},
                            {"resourceName", permit.resource},
                            {"externalResourceProvider", true}});
    };
    const auto found = std::find_if(ours.begin(), ours.end(), is_it);
    if (found == ours.end()) {
      foreign.push_back(entry);
    } else {
      ours.erase(found);
    }
  }
  return foreign.dump();
}

void RequireSoundPlan(const Json& cr, const std::vector<controller::Permit>& permits) {
  const auto everything = [](const std::string& resource) { return !resource.empty(); };
  const auto plan = controller::MakePlan(cr, permits, everything);
  if (!plan.ok()) {
    Require(absl::IsInvalidArgument(plan.status()), "an error is InvalidArgument",
            plan.status().ToString());
    RequireOneLine(std::string(plan.status().message()));
    return;
  }
  for (const controller::Remark& remark : plan->remarks) RequireOneLine(remark.text);
  // A patch that does not fit its own CR throws.
  const Json after = cr.patch(plan->patch);
  Require(ForeignOf(after) == ForeignOf(cr), "foreign entries are kept", after.dump());
  const auto again = controller::MakePlan(after, permits, everything);
  Require(again.ok() && again->patch.empty(), "a second look finds nothing to do", after.dump());
}

}  // namespace
}  // namespace dp::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto cr = dp::json::Parse({reinterpret_cast<const char*>(data), size}, dp::fuzz::kBounds);
  if (!cr.ok() || !cr->is_object()) return 0;
  dp::fuzz::RequireSoundPlan(*cr, {});
  dp::fuzz::RequireSoundPlan(*cr, {{"1B36:0010", "vendor.example/nvme"}});
  dp::fuzz::RequireSoundPlan(
      *cr, {{"10DE:1EB8", "vendor.example/gpu"}, {"10DE:2342", "vendor.example/gpu"}});
  return 0;
}
