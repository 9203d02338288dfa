// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/lease.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "plugin/base/status_macros.h"
#include "plugin/kube/time_text.h"

namespace dp::controller {
namespace {

using Json = nlohmann::json;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kLongestOfOthers{3600};
// After somebody else was faster.
constexpr milliseconds kShortWait{1000};

const Json* Find(const Json& object, const char* pointer) {
  const Json::json_pointer path(pointer);
  return object.contains(path) ? &object[path] : nullptr;
}

std::string TextAt(const Json& object, const char* pointer) {
  const Json* found = Find(object, pointer);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

std::int64_t NumberAt(const Json& object, const char* pointer, std::int64_t otherwise) {
  const Json* found = Find(object, pointer);
  return found != nullptr && found->is_number_integer() ? found->get<std::int64_t>() : otherwise;
}

}  // namespace

std::string Lease::Collection() const {
  return fmt::format("/apis/coordination.k8s.io/v1/namespaces/{}/leases", names_.space);
}

std::string Lease::Path() const { return Collection() + "/" + names_.name; }

Json Lease::Spec(std::int64_t transitions) const {
  const std::string now = kube::MicroTimeText(clocks_.wall());
  return {{"holderIdentity", names_.identity},
          {"leaseDurationSeconds", duration_.count()},
          {"acquireTime", now},
          {"renewTime", now},
          {"leaseTransitions", transitions}};
}

absl::StatusOr<std::optional<Lease::Other>> Lease::Take(const absl::StatusOr<Json>& written) {
  // Somebody else was faster, so it is his.
  if (absl::IsAborted(written.status()) || absl::IsAlreadyExists(written.status())) {
    return Other{.holder = "another instance", .wait = kShortWait};
  }
  if (!written.ok()) return written.status();
  object_ = *written;
  return std::optional<Other>();
}

absl::StatusOr<std::optional<Lease::Other>> Lease::Acquire() {
  // By the clock before the request: what counts is what others may have seen first.
  const auto now = clocks_.steady();
  if (taken_ && now - *taken_ < duration_ * 2 / 3) return std::optional<Other>();
  taken_.reset();
  auto lease = api_.Get(Path());
  absl::StatusOr<std::optional<Other>> outcome;
  if (absl::IsNotFound(lease.status())) {
    const Json fresh{{"apiVersion", "coordination.k8s.io/v1"},
                     {"kind", "Lease"},
                     {"metadata", {{"name", names_.name}, {"namespace", names_.space}}},
                     {"spec", Spec(0)}};
    outcome = Take(api_.Create(Collection(), fresh));
  } else {
    if (!lease.ok()) return lease.status();
    const std::string holder = TextAt(*lease, "/spec/holderIdentity");
    if (!holder.empty() && holder != names_.identity) {
      const std::string version = TextAt(*lease, "/metadata/resourceVersion");
      if (version != seen_version_) {
        seen_version_ = version;
        seen_ = now;
      }
      const auto its = std::clamp<std::chrono::seconds>(
          std::chrono::seconds(NumberAt(*lease, "/spec/leaseDurationSeconds", duration_.count())),
          std::chrono::seconds(1), kLongestOfOthers);
      if (now - seen_ < its) {
        return Other{.holder = holder, .wait = duration_cast<milliseconds>(seen_ + its - now)};
      }
    }
    const auto transitions = NumberAt(*lease, "/spec/leaseTransitions", 0);
    (*lease)["spec"] = Spec(transitions + (holder == names_.identity ? 0 : 1));
    outcome = Take(api_.Replace(Path(), *lease));
  }
  if (outcome.ok() && !outcome->has_value()) taken_ = now;
  return outcome;
}

absl::Status Lease::Release() {
  if (!taken_) return absl::OkStatus();
  taken_.reset();
  object_["spec"]["holderIdentity"] = "";
  const auto released = api_.Replace(Path(), object_);
  // Then it is another's already.
  return absl::IsAborted(released.status()) ? absl::OkStatus() : released.status();
}

}  // namespace dp::controller
