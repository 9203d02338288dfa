// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/guest_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "plugin/base/excerpt.h"
#include "plugin/base/parse.h"
#include "plugin/base/status_macros.h"
#include "plugin/domain/guest_map.h"
#include "plugin/guest/vmi.h"
#include "plugin/yaml/document.h"

namespace dp::ctl {
namespace {

using Json = nlohmann::json;

absl::Status Error(std::string_view name, std::string_view what) {
  std::string sentence = fmt::format("{}: {}", name, what);
  // Names and keys are their author's, and may have line breaks or what a terminal obeys.
  std::replace_if(
      sentence.begin(), sentence.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return absl::InvalidArgumentError(sentence);
}

absl::Status ErrorInLine(std::string_view name, int line, std::string_view what) {
  return Error(name, fmt::format("line {}: {}", line, what));
}

// Scalars are texts: a reader of quantities and names wants them as they were written.
Json ValueOf(const yaml::Element& node) {
  switch (node.kind) {
    case yaml::Element::Kind::kNull:
      break;
    case yaml::Element::Kind::kScalar:
      return node.text;
    case yaml::Element::Kind::kList: {
      Json list = Json::array();
      for (const yaml::Element& item : node.items) list.push_back(ValueOf(item));
      return list;
    }
    case yaml::Element::Kind::kMapping: {
      Json object = Json::object();
      for (const yaml::Element::Entry& entry : node.entries)
        object[entry.key] = ValueOf(entry.value);
      return object;
    }
  }
  return {};
}

const yaml::Element* Step(const yaml::Element& node, std::string_view name) {
  if (node.kind != yaml::Element::Kind::kList) return node.Find(name);
  const auto index = base::ParseDecimal<std::size_t>(name);
  return index && *index < node.items.size() ? &node.items[*index] : nullptr;
}

// Of a field, given as a JSON pointer without escapes, or of what is there on the way to it.
int LineOf(const yaml::Element& root, std::string_view pointer) {
  const yaml::Element* node = &root;
  int line = std::max(root.line, 1);
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    const std::string_view name = pointer.substr(0, pointer.find('/'));
    pointer.remove_prefix(name.size());
    node = Step(*node, name);
    if (node == nullptr) break;
    line = node->line;
  }
  return line;
}

std::string NameOf(const guest::Vmi& vmi) {
  if (vmi.name.empty()) return "VM without a name";
  const std::string space = vmi.space.empty() ? "" : base::Excerpt(vmi.space) + "/";
  return fmt::format("VM {}{}", space, base::Excerpt(vmi.name));
}

absl::StatusOr<Guest> ReadVm(std::string_view text, std::string_view name) {
  yaml::Element root;
  if (const auto error = yaml::Parse(text, guest::kMostVmiDepth, root)) {
    return ErrorInLine(
        name, error->line,
        error->path.empty() ? error->reason : fmt::format("{}: {}", error->path, error->reason));
  }
  std::string field;
  const auto vmi = guest::ReadVmi(ValueOf(root), field);
  if (!vmi.ok()) {
    return ErrorInLine(name, LineOf(root, field), std::string(vmi.status().message()));
  }
  if (!vmi->architecture.empty() && vmi->architecture != "arm64") {
    return Error(name, fmt::format("its architecture is {}: only the memory of guests for arm64 is "
                                   "known",
                                   base::Excerpt(vmi->architecture)));
  }
  Guest guest;
  guest.name = NameOf(*vmi);
  auto map = guest::MemoryMap(guest::LayoutOf(*vmi));
  if (!map.ok()) {
    return absl::FailedPreconditionError(
        fmt::format("QEMU does not start this guest: {}", std::string(map.status().message())));
  }
  guest.map = *std::move(map);
  return guest;
}

absl::StatusOr<Guest> ReadDomain(std::string_view text, std::string_view name) {
  auto domain = domain::ParseDomain(text);
  if (!domain.ok()) return Error(name, std::string(domain.status().message()));
  if (!domain->is_virt()) {
    return Error(name, fmt::format("it is for a machine \"{}\" for \"{}\": only the memory of "
                                   "QEMU's virt for aarch64 is known",
                                   base::Excerpt(domain->machine), base::Excerpt(domain->arch)));
  }
  Guest guest;
  guest.name = fmt::format("domain {}", base::Excerpt(domain->name));
  ASSIGN_OR_RETURN(guest.map, domain::MapOf(*domain));
  if (!domain->smmu.empty())
    guest.fixed = fmt::format("the domain has an SMMUv3 ({})", domain->smmu);
  if (!domain->unknown_memory.empty()) guest.unknown_end = domain->unknown_memory.front();
  guest.domain = *std::move(domain);
  return guest;
}

}  // namespace

absl::StatusOr<Guest> ReadGuest(std::string_view text, std::string_view name) {
  if (text.size() > kMostDocumentBytes) {
    return Error(name,
                 fmt::format("it has {} bytes, more than {}", text.size(), kMostDocumentBytes));
  }
  std::string_view rest = text;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
  const auto first = rest.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return Error(name, "it is empty");
  return rest[first] == '<' ? ReadDomain(text, name) : ReadVm(text, name);
}

}  // namespace dp::ctl
