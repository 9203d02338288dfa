// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "plugin/base/excerpt.h"
#include "plugin/base/status_macros.h"
#include "plugin/controller/mark.h"

// The list of permitted devices is atomic for the API server (x-kubernetes-list-type), so applying
// it as a whole would mean to send foreign entries back. A JSON Patch names single items by their
// index instead; it begins with a test of the resourceVersion, without which an index could mean
// another item by the time it arrives.
//
// The patch is made by doing it: each operation is applied to a copy of the CR as it is noted down.

namespace dp::controller {
namespace {

using Json = nlohmann::json;
using Pointer = Json::json_pointer;

constexpr char kDisabledGates[] = "/spec/configuration/developerConfiguration/disabledFeatureGates";
constexpr char kAnnotations[] = "/metadata/annotations";
constexpr char kVersion[] = "/metadata/resourceVersion";
constexpr char kGate[] = "HostDevices";

Json EntryOf(const Permit& permit) {
  return {{"pciVendorSelector", permit.selector},
          {"resourceName", permit.resource},
          {"externalResourceProvider", true}};
}

// Null counts as missing, as it does for the API server.
const Json* Find(const Json& document, const std::string& pointer) {
  const Pointer path(pointer);
  return document.contains(path) && !document[path].is_null() ? &document[path] : nullptr;
}

std::string TextOf(const Json& object, const char* field) {
  const auto found = object.is_object() ? object.find(field) : object.end();
  return object.is_object() && found != object.end() && found->is_string()
             ? found->get<std::string>()
             : std::string();
}

bool Contains(const Json* list, std::string_view text) {
  return list != nullptr && std::find(list->begin(), list->end(), text) != list->end();
}

absl::Status CheckShape(const Json& cr) {
  const auto wrong = [](const char* field, const char* what) {
    return absl::InvalidArgumentError(fmt::format("{} of KubeVirt's CR is no {}", field, what));
  };
  for (const char* object :
       {"/metadata", "/spec", kConfiguration, kPermitted, kDeveloper, kAnnotations}) {
    const Json* found = Find(cr, object);
    if (found != nullptr && !found->is_object()) return wrong(object, "object");
  }
  for (const char* list : {kPciDevices, kGates, kDisabledGates}) {
    const Json* found = Find(cr, list);
    if (found != nullptr && !found->is_array()) return wrong(list, "list");
  }
  // The CRD demands one, so there is nothing to be made here.
  if (Find(cr, "/spec") == nullptr) return wrong("/spec", "object");
  const Json* version = Find(cr, kVersion);
  if (version == nullptr || !version->is_string()) return wrong(kVersion, "text");
  return absl::OkStatus();
}

// What the CR says, and which of it is ours.
struct View {
  Mark mark;
  std::string mark_error;                   // it is there, and cannot be read
  std::vector<std::optional<Permit>> ours;  // by index of the PCI list; empty: foreign
  std::vector<const Json*> foreign;         // permitted devices of any kind
  std::set<std::string> foreign_resources;  // that they permit
  std::set<std::string> marked_resources;

  [[nodiscard]] bool is_foreign(const std::string& resource) const {
    return foreign_resources.count(resource) != 0;
  }
};

void ReadMark(const Json& cr, View& view) {
  const Json* annotations = Find(cr, kAnnotations);
  if (annotations == nullptr || !annotations->contains(kMark)) return;
  const std::string text = TextOf(*annotations, kMark);
  auto mark = ParseMark(text);
  if (!mark.ok()) {
    // What cannot be told to be ours is foreign.
    view.mark_error =
        fmt::format("{} ({})", std::string(mark.status().message()), base::Excerpt(text));
    return;
  }
  view.mark = *std::move(mark);
  for (const Permit& permit : view.mark.permits) view.marked_resources.insert(permit.resource);
}

View Look(const Json& cr) {
  View view;
  ReadMark(cr, view);
  std::vector<Permit> unseen = view.mark.permits;
  if (const Json* list = Find(cr, kPciDevices)) {
    for (const Json& entry : *list) {
      // An equal one that somebody has added besides stays: each of ours accounts for one entry.
      const auto ours = std::find_if(unseen.begin(), unseen.end(), [&](const Permit& permit) {
        return entry == EntryOf(permit);
      });
      if (ours != unseen.end()) {
        view.ours.emplace_back(*ours);
        unseen.erase(ours);
      } else {
        view.ours.emplace_back();
        view.foreign.push_back(&entry);
      }
    }
  }
  for (const char* kind : {"/mediatedDevices", "/usb"}) {
    const Json* list = Find(cr, std::string(kPermitted) + kind);
    if (list == nullptr || !list->is_array()) continue;
    for (const Json& entry : *list) view.foreign.push_back(&entry);
  }
  for (const Json* entry : view.foreign) {
    view.foreign_resources.insert(TextOf(*entry, "resourceName"));
  }
  return view;
}

class Planner {
 public:
  Planner(const Json& cr, View view) : view_(std::move(view)), document_(cr), mark_(view_.mark) {}

  void SetPermits(const std::vector<Permit>& target);
  void SetGate(bool needed);
  Plan Finish(const Json& cr);

  [[nodiscard]] const View& view() const { return view_; }
  void Say(std::string reason, std::string resource, std::string text) {
    plan_.remarks.push_back({std::move(reason), std::move(resource), 0, std::move(text)});
  }
  Plan& plan() { return plan_; }

 private:
  void Add(const std::string& pointer, Json value);
  void Remove(const std::string& pointer);
  void MakeIfMissing(const char* pointer, Json empty);
  void RemoveWhatWasMade();
  void WriteMark();

  const View view_;
  Json document_;
  Mark mark_;
  Plan plan_;
};

void Planner::Add(const std::string& pointer, Json value) {
  plan_.patch.push_back({{"op", "add"}, {"path", pointer}, {"value", value}});
  const Pointer path(pointer);
  Json& parent = document_[path.parent_pointer()];
  if (parent.is_array()) {
    parent.push_back(std::move(value));  // nothing is inserted elsewhere: "/-"
  } else {
    parent[path.back()] = std::move(value);
  }
}

void Planner::Remove(const std::string& pointer) {
  plan_.patch.push_back({{"op", "remove"}, {"path", pointer}});
  const Pointer path(pointer);
  Json& parent = document_[path.parent_pointer()];
  if (parent.is_array()) {
    parent.erase(static_cast<std::size_t>(std::stoul(path.back())));
  } else {
    parent.erase(path.back());
  }
}

void Planner::MakeIfMissing(const char* pointer, Json empty) {
  if (Find(document_, pointer) != nullptr) return;
  Add(pointer, std::move(empty));
  if (std::find(mark_.made.begin(), mark_.made.end(), pointer) == mark_.made.end()) {
    mark_.made.emplace_back(pointer);
  }
}

void Planner::SetPermits(const std::vector<Permit>& target) {
  // Which of ours stay. If a resource's new ones would not come after those that stay, all of it is
  // made anew: KubeVirt judges a resource by its last entry.
  std::vector<Permit> present;
  for (const std::optional<Permit>& ours : view_.ours) {
    if (ours) present.push_back(*ours);
  }
  const auto of = [](const std::vector<Permit>& permits, const std::string& resource) {
    std::vector<Permit> those;
    std::copy_if(permits.begin(), permits.end(), std::back_inserter(those),
                 [&](const Permit& permit) { return permit.resource == resource; });
    return those;
  };
  const auto stays = [&](const Permit& permit) {
    const std::vector<Permit> wanted = of(target, permit.resource);
    std::vector<Permit> kept;
    for (const Permit& ours : of(present, permit.resource)) {
      if (std::find(wanted.begin(), wanted.end(), ours) != wanted.end()) kept.push_back(ours);
    }
    return kept.size() <= wanted.size() && std::equal(kept.begin(), kept.end(), wanted.begin()) &&
           std::find(kept.begin(), kept.end(), permit) != kept.end();
  };
  std::vector<Permit> kept;
  std::vector<std::size_t> gone;
  for (std::size_t i = 0; i < view_.ours.size(); ++i) {
    if (!view_.ours[i]) continue;
    if (stays(*view_.ours[i])) {
      kept.push_back(*view_.ours[i]);
    } else {
      gone.push_back(i);
    }
  }
  // From the end, so that the others keep their places.
  for (auto i = gone.rbegin(); i != gone.rend(); ++i) {
    Remove(fmt::format("{}/{}", kPciDevices, *i));
  }
  for (const Permit& permit : target) {
    if (std::find(kept.begin(), kept.end(), permit) != kept.end()) continue;
    MakeIfMissing(kConfiguration, Json::object());
    if (Find(document_, kPermitted) == nullptr) {
      Say("checks_begin", "",
          "there was no permittedHostDevices, and KubeVirt took any device; from now on it "
          "refuses VMs with devices that are not listed");
    }
    MakeIfMissing(kPermitted, Json::object());
    MakeIfMissing(kPciDevices, Json::array());
    Add(std::string(kPciDevices) + "/-", EntryOf(permit));
  }
  mark_.permits = target;
  // So that another order in the configuration is no reason to write.
  std::sort(mark_.permits.begin(), mark_.permits.end(), [](const Permit& a, const Permit& b) {
    return std::tie(a.resource, a.selector) < std::tie(b.resource, b.selector);
  });
}

void Planner::SetGate(bool needed) {
  const Json* gates = Find(document_, kGates);
  const bool is_there = Contains(gates, kGate);
  if (needed && !is_there) {
    mark_.feature_gate = false;
    // A gate in both lists is rejected (pkg/virt-operator/webhooks/kubevirt-update-admitter.go),
    // and whoever disabled it has had his reason.
    if (Contains(Find(document_, kDisabledGates), kGate)) {
      Say("gate_disabled", "",
          "disabledFeatureGates lists HostDevices, so KubeVirt refuses VMs with our devices");
      return;
    }
    MakeIfMissing(kConfiguration, Json::object());
    MakeIfMissing(kDeveloper, Json::object());
    MakeIfMissing(kGates, Json::array());
    Add(std::string(kGates) + "/-", kGate);
    mark_.feature_gate = true;
  } else if (!needed && mark_.feature_gate) {
    mark_.feature_gate = false;
    // Others have come to rely on it; now it is theirs.
    if (!is_there || !view_.foreign.empty()) return;
    const auto index = std::find(gates->begin(), gates->end(), kGate) - gates->begin();
    Remove(fmt::format("{}/{}", kGates, index));
  }
}

// From the innermost, once nothing of ours is left in it.
void Planner::RemoveWhatWasMade() {
  std::vector<std::string> made = std::exchange(mark_.made, {});
  std::sort(made.begin(), made.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
  const bool has_permits = !mark_.permits.empty();
  for (std::string& pointer : made) {
    const bool holds_permits = has_permits && std::string_view(kPciDevices).starts_with(pointer);
    const bool holds_gate = mark_.feature_gate && std::string_view(kGates).starts_with(pointer);
    if (holds_permits || holds_gate) {
      mark_.made.push_back(std::move(pointer));
    } else if (const Json* found = Find(document_, pointer); found != nullptr && found->empty()) {
      Remove(pointer);
    }
    // What somebody else has filled is his.
  }
  std::sort(mark_.made.begin(), mark_.made.end());
}

void Planner::WriteMark() {
  const std::string pointer =
      std::string(kAnnotations) + "/vfio-doorbell.io~1permitted-host-devices";
  const Json* annotations = Find(document_, kAnnotations);
  const bool is_there = annotations != nullptr && annotations->contains(kMark);
  if (mark_.empty()) {
    if (!is_there) return;
    Remove(pointer);
    if (Find(document_, kAnnotations)->empty()) Remove(kAnnotations);
    return;
  }
  if (view_.mark_error.empty() && is_there && mark_ == view_.mark) return;
  if (annotations == nullptr) Add(kAnnotations, Json::object());
  Add(pointer, FormatMark(mark_));
}

Plan Planner::Finish(const Json& cr) {
  RemoveWhatWasMade();
  // An unreadable mark is not written over while there is nothing to enter.
  if (view_.mark_error.empty() || !plan_.patch.empty()) WriteMark();
  if (!plan_.patch.empty()) {
    const Json test{{"op", "test"}, {"path", kVersion}, {"value", cr[Pointer(kVersion)]}};
    plan_.patch.insert(plan_.patch.begin(), test);
  }
  return std::move(plan_);
}

// Foreign entries with which ours do not go together.
void RemarkForeign(const std::vector<Permit>& permits, Planner& planner) {
  const auto lower = [](std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return text;
  };
  std::set<std::string> said;
  for (const Json* entry : planner.view().foreign) {
    const std::string resource = TextOf(*entry, "resourceName");
    const auto external =
        entry->is_object() ? entry->find("externalResourceProvider") : entry->end();
    const bool is_external = entry->is_object() && external != entry->end() && *external == true;
    for (const Permit& permit : permits) {
      if (permit.resource == resource) {
        if (!said.insert(resource).second) continue;
        if (is_external) {
          planner.Say("permitted_already", resource,
                      "an entry that is not ours permits it, and ours is left out");
        } else {
          planner.Say("served_twice", resource,
                      "an entry that is not ours permits it without externalResourceProvider: "
                      "KubeVirt serves the same resource, and one of the two is refused");
        }
      } else if (!is_external && entry->is_object() && entry->contains("pciVendorSelector") &&
                 lower(TextOf(*entry, "pciVendorSelector")) == lower(permit.selector)) {
        if (!said.insert(permit.resource + " " + resource).second) continue;
        planner.Say("offered_twice", permit.resource,
                    fmt::format("KubeVirt itself offers {} as {}, so the same device may be "
                                "given to two VMs",
                                permit.selector, base::Excerpt(resource)));
      }
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> NeedNodes(const nlohmann::json& cr,
                                                   const std::vector<Permit>& permits) {
  RETURN_IF_ERROR(CheckShape(cr));
  const View view = Look(cr);
  std::vector<std::string> resources;
  for (const Permit& permit : permits) {
    const std::string& resource = permit.resource;
    if (view.is_foreign(resource) || view.marked_resources.count(resource) != 0) continue;
    if (resources.empty() || resources.back() != resource) resources.push_back(resource);
  }
  return resources;
}

absl::StatusOr<Plan> MakePlan(const nlohmann::json& cr, const std::vector<Permit>& permits,
                              const IsOffered& is_offered) {
  ASSIGN_OR_RETURN(std::vector<std::string> open, NeedNodes(cr, permits));
  open.erase(std::remove_if(open.begin(), open.end(), is_offered), open.end());
  Planner planner(cr, Look(cr));
  const auto waits = [&](const std::string& resource) {
    return std::find(open.begin(), open.end(), resource) != open.end();
  };
  std::vector<Permit> target;
  bool gate = false;
  for (const Permit& permit : permits) {
    if (waits(permit.resource)) continue;
    gate = true;
    if (!planner.view().is_foreign(permit.resource)) target.push_back(permit);
  }
  if (!planner.view().mark_error.empty()) {
    planner.Say("mark_unreadable", "",
                fmt::format("the annotation {} is not ours: {}; what it may have listed stays",
                            kMark, planner.view().mark_error));
  }
  RemarkForeign(permits, planner);
  planner.SetPermits(target);
  planner.SetGate(gate);
  planner.plan().waiting = std::move(open);
  return planner.Finish(cr);
}

}  // namespace dp::controller
