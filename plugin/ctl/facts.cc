// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/facts.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/json/parse_json.h"
#include "plugin/os/boot_id.h"
#include "plugin/os/unix_connect.h"

namespace dp::ctl {
namespace {

using Json = nlohmann::json;

constexpr json::Bounds kBounds{.bytes = std::size_t{1} << 20, .depth = 8};

Probe ProbeSocket(std::string what, std::string path) {
  const auto connection = os::ConnectUnix(path);
  return {.what = std::move(what),
          .path = std::move(path),
          .error = connection.ok() ? "" : std::string(connection.status().message())};
}

Probe ProbeNode(std::string what, std::string path) {
  struct stat status {};
  std::string error;
  if (::stat(path.c_str(), &status) < 0) {
    error = std::string(absl::ErrnoToStatus(errno, "cannot look at " + path).message());
  } else if (!S_ISCHR(status.st_mode)) {
    error = path + " is no device node";
  }
  return {.what = std::move(what), .path = std::move(path), .error = std::move(error)};
}

std::string TextAt(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

Facts ReadFacts(const Places& places) {
  Facts facts;
  utsname system{};
  if (::uname(&system) == 0) {
    facts.release = system.release;
    facts.machine = system.machine;
  }
  facts.boot_id = os::ReadBootId();
  facts.is_root = ::geteuid() == 0;
  facts.probes = {
      ProbeSocket("the kubelet's socket", places.kubelet_dir + "/kubelet.sock"),
      ProbeSocket("the kubelet's list of pods", places.pod_resources_socket),
      ProbeNode("VFIO", places.dev_root + "/vfio/vfio"),
  };
  return facts;
}

nlohmann::ordered_json JsonOf(const Facts& facts) {
  nlohmann::ordered_json probes = nlohmann::ordered_json::array();
  for (const Probe& probe : facts.probes)
    probes.push_back({{"what", probe.what}, {"path", probe.path}, {"error", probe.error}});
  return {{"release", facts.release},
          {"machine", facts.machine},
          {"bootId", facts.boot_id},
          {"root", facts.is_root},
          {"probes", std::move(probes)}};
}

absl::StatusOr<Facts> FactsFromJson(std::string_view text) {
  ASSIGN_OR_RETURN(const Json document, json::Parse(text, kBounds));
  Facts facts;
  facts.release = TextAt(document, "release");
  facts.machine = TextAt(document, "machine");
  facts.boot_id = TextAt(document, "bootId");
  if (!document.is_object()) return facts;
  const auto root = document.find("root");
  facts.is_root = root != document.end() && root->is_boolean() && root->get<bool>();
  const auto probes = document.find("probes");
  if (probes == document.end() || !probes->is_array()) return facts;
  for (const Json& probe : *probes) {
    facts.probes.push_back({.what = TextAt(probe, "what"),
                            .path = TextAt(probe, "path"),
                            .error = TextAt(probe, "error")});
  }
  return facts;
}

}  // namespace dp::ctl
