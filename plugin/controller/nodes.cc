// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/nodes.h"

#include <fmt/format.h>

#include <cctype>
#include <nlohmann/json.hpp>
#include <string_view>

#include "plugin/base/status_macros.h"

namespace dp::controller {
namespace {

using Json = nlohmann::json;

// A node has up to 20 KB, most of it its images; parsed it is several times as large.
constexpr int kNodesOfAPage = 20;
// More pages than the largest cluster has nodes: an API server that goes on for ever is not
// followed.
constexpr int kMostPages = 10000;

std::string TextAt(const Json& object, const char* pointer) {
  const Json::json_pointer path(pointer);
  return object.contains(path) && object[path].is_string() ? object[path].get<std::string>()
                                                           : std::string();
}

bool Offers(const Json& node, const std::string& resource) {
  for (const char* list : {"/status/allocatable", "/status/capacity"}) {
    const Json::json_pointer path(list);
    if (!node.contains(path) || !node[path].is_object()) continue;
    const auto amount = node[path].find(resource);
    if (amount != node[path].end() && *amount != "0" && *amount != 0) return true;
  }
  return false;
}

std::string Escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const bool is_plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
    escaped += is_plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return escaped;
}

}  // namespace

absl::StatusOr<std::set<std::string>> FindOffered(kube::Api& api,
                                                  const std::vector<std::string>& resources) {
  std::set<std::string> found;
  std::string next;
  for (int page = 0; page < kMostPages && found.size() < resources.size(); ++page) {
    std::string path = fmt::format("/api/v1/nodes?limit={}", kNodesOfAPage);
    if (!next.empty()) path += "&continue=" + Escape(next);
    ASSIGN_OR_RETURN(const Json list, api.Get(path));
    const auto items = list.find("items");
    if (items != list.end() && items->is_array()) {
      for (const Json& node : *items) {
        for (const std::string& resource : resources) {
          if (Offers(node, resource)) found.insert(resource);
        }
      }
    }
    next = TextAt(list, "/metadata/continue");
    if (next.empty()) break;
  }
  return found;
}

}  // namespace dp::controller
