// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/pass.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "plugin/base/excerpt.h"
#include "plugin/controller/nodes.h"
#include "plugin/controller/plan.h"
#include "plugin/kube/failure.h"

// Order: read the CR, read nodes if they matter, plan, take the lease, patch. The lease comes after
// the plan so that it is not written for nothing. What others change meanwhile is caught by the
// resourceVersion in the patch, with or without a lease; the lease keeps two instances with two
// configurations from undoing each other's work all the time.

namespace dp::controller {
namespace {

using Json = nlohmann::json;

constexpr char kKubeVirts[] = "/apis/kubevirt.io/v1/kubevirts?limit=2";
constexpr int kMostAttempts = 5;

std::string TextAt(const Json& object, const char* pointer) {
  const Json::json_pointer path(pointer);
  return object.contains(path) && object[path].is_string() ? object[path].get<std::string>()
                                                           : std::string();
}

State StateOf(const absl::Status& status) {
  switch (kube::FailureOf(status)) {
    case kube::Failure::kNone:
      return State::kInStep;
    case kube::Failure::kForbidden:
      return State::kForbidden;
    case kube::Failure::kUnreachable:
      return State::kUnreachable;
    case kube::Failure::kRefused:
      return State::kRefused;
    case kube::Failure::kConflict:
      return State::kConflict;
    case kube::Failure::kAbsent:
      return State::kNoKubeVirt;
    case kube::Failure::kBroken:
      return State::kBroken;
  }
  return State::kBroken;
}

void Fail(Outcome& outcome, State state, std::string text) {
  outcome.state = state;
  outcome.text = std::move(text);
}

void Fail(Outcome& outcome, const absl::Status& status) {
  Fail(outcome, StateOf(status), std::string(status.message()));
}

// Namespaces and names are DNS labels, so nothing in them needs to be escaped; one that is none
// would make another path.
bool IsLabel(const std::string& text) {
  for (const char c : text) {
    if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.') return false;
  }
  return !text.empty();
}

std::string PathOf(const Json& cr) {
  return fmt::format("/apis/kubevirt.io/v1/namespaces/{}/kubevirts/{}",
                     TextAt(cr, "/metadata/namespace"), TextAt(cr, "/metadata/name"));
}

}  // namespace

std::string_view NameOf(State state) {
  switch (state) {
    case State::kInStep:
      return "in_step";
    case State::kNoKubeVirt:
      return "no_kubevirt";
    case State::kSeveral:
      return "several_kubevirts";
    case State::kForbidden:
      return NameOf(kube::Failure::kForbidden);
    case State::kUnreachable:
      return NameOf(kube::Failure::kUnreachable);
    case State::kRefused:
      return NameOf(kube::Failure::kRefused);
    case State::kConflict:
      return NameOf(kube::Failure::kConflict);
    case State::kFollowing:
      return "following";
    case State::kBroken:
      return NameOf(kube::Failure::kBroken);
  }
  return NameOf(kube::Failure::kBroken);
}

std::vector<std::string_view> StateNames() {
  std::vector<std::string_view> names;
  for (int state = 0; state <= static_cast<int>(State::kBroken); ++state) {
    names.push_back(NameOf(static_cast<State>(state)));
  }
  return names;
}

struct Pass::Look {
  std::string path;
  std::string version;
  Plan plan;
};

// The status is for the caller to leave; the outcome says why.
absl::StatusOr<Json> Pass::FindCr(Outcome& outcome) {
  const auto fail = [&](State state, std::string text) {
    Fail(outcome, state, std::move(text));
    return absl::NotFoundError("no CR");
  };
  absl::StatusOr<Json> cr;
  if (!target_.name.empty()) {
    cr = api_.Get(fmt::format("/apis/kubevirt.io/v1/namespaces/{}/kubevirts/{}", target_.space,
                              target_.name));
    if (!cr.ok()) {
      Fail(outcome, cr.status());
      return cr.status();
    }
  } else {
    auto list = api_.Get(kKubeVirts);
    if (!list.ok()) {
      if (absl::IsNotFound(list.status())) {
        return fail(State::kNoKubeVirt, "this cluster has no KubeVirt: its CRD is not installed");
      }
      Fail(outcome, list.status());
      return list.status();
    }
    const auto items = list->find("items");
    if (items == list->end() || !items->is_array()) {
      return fail(State::kBroken, "the API server's list of KubeVirt CRs is no list");
    }
    if (items->empty()) return fail(State::kNoKubeVirt, "there is no KubeVirt CR");
    if (items->size() > 1) {
      return fail(
          State::kSeveral,
          fmt::format("there are several KubeVirt CRs, {}/{} and {}/{} among them: say which "
                      "with --kubevirt-namespace and --kubevirt-name",
                      base::Excerpt(TextAt((*items)[0], "/metadata/namespace")),
                      base::Excerpt(TextAt((*items)[0], "/metadata/name")),
                      base::Excerpt(TextAt((*items)[1], "/metadata/namespace")),
                      base::Excerpt(TextAt((*items)[1], "/metadata/name"))));
    }
    cr = std::move((*items)[0]);
  }
  if (!IsLabel(TextAt(*cr, "/metadata/namespace")) || !IsLabel(TextAt(*cr, "/metadata/name"))) {
    return fail(State::kBroken, "the KubeVirt CR has no namespace or no name");
  }
  if (!TextAt(*cr, "/metadata/deletionTimestamp").empty()) {
    return fail(State::kNoKubeVirt, "the KubeVirt CR is being deleted");
  }
  return cr;
}

// Whether there is a plan. The outcome can hold a failure besides: without the nodes, what is new
// waits, and all else goes on.
bool Pass::LookAndPlan(const std::vector<Permit>& permits, Outcome& outcome, Look& look) {
  const int patched = outcome.patched;
  outcome = {};
  outcome.patched = patched;
  const auto cr = FindCr(outcome);
  if (!cr.ok()) return false;
  const auto broken = [&](const absl::Status& status) {
    Fail(outcome, State::kBroken, std::string(status.message()));
    return false;
  };
  const auto asked = NeedNodes(*cr, permits);
  if (!asked.ok()) return broken(asked.status());
  std::set<std::string> offered;
  if (!asked->empty()) {
    auto found = FindOffered(api_, *asked);
    if (found.ok()) {
      offered = *std::move(found);
    } else {
      Fail(outcome, found.status());
    }
  }
  auto plan = MakePlan(*cr, permits,
                       [&](const std::string& resource) { return offered.count(resource) != 0; });
  if (!plan.ok()) return broken(plan.status());
  look = {.path = PathOf(*cr),
          .version = TextAt(*cr, "/metadata/resourceVersion"),
          .plan = *std::move(plan)};
  outcome.remarks = look.plan.remarks;
  outcome.waiting = look.plan.waiting;
  return true;
}

Outcome Pass::Run(const std::vector<Permit>& permits) {
  ++counters_.passes;
  Outcome outcome;
  std::string refused;          // what the API server said to the last patch
  std::string refused_version;  // of the CR that it was for
  for (int attempt = 0;; ++attempt) {
    Look look;
    if (!LookAndPlan(permits, outcome, look) || look.plan.patch.empty()) break;
    if (look.version == refused_version) {
      // Nobody has come in between, so it is the patch itself that is not liked.
      Fail(outcome, State::kRefused, refused);
      break;
    }
    if (attempt == kMostAttempts) {
      Fail(outcome, State::kConflict, fmt::format("{} is changed all the time", look.path));
      break;
    }
    const auto other = lease_.Acquire();
    if (!other.ok()) {
      // The lease's namespace may be the one that is not there.
      Fail(outcome, absl::IsNotFound(other.status()) ? State::kForbidden : StateOf(other.status()),
           std::string(other.status().message()));
      break;
    }
    if (other->has_value()) {
      Fail(outcome, State::kFollowing,
           fmt::format("{} has the lease", base::Excerpt((*other)->holder)));
      outcome.retry = (*other)->wait;
      break;
    }
    const auto patched = api_.Patch(look.path, look.plan.patch);
    if (patched.ok()) {
      ++counters_.patches;
      ++outcome.patched;
      break;
    }
    if (!absl::IsAborted(patched.status()) && !absl::IsFailedPrecondition(patched.status())) {
      // A webhook rejects with 400 as well.
      Fail(outcome,
           absl::IsInvalidArgument(patched.status()) ? State::kRefused : StateOf(patched.status()),
           std::string(patched.status().message()));
      break;
    }
    ++counters_.conflicts;
    refused = std::string(patched.status().message());
    refused_version = look.version;
  }
  if (outcome.state != State::kInStep) ++counters_.failures;
  return outcome;
}

Json Pass::Preview(const std::vector<Permit>& permits, Outcome& outcome) {
  Look look;
  return LookAndPlan(permits, outcome, look) ? look.plan.patch : Json::array();
}

}  // namespace dp::controller
