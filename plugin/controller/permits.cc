// SPDX-License-Identifier: Apache-2.0
#include "plugin/controller/permits.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "plugin/core/grace.h"

namespace dp::controller {
namespace {

struct Findings {
  std::vector<Permit> permits;
  std::vector<Permit> grace;
  std::vector<Remark> refused;
};

bool Contains(const std::vector<Permit>& permits, const Permit& permit) {
  return std::find(permits.begin(), permits.end(), permit) != permits.end();
}

void Look(const core::Resource& resource, const core::Selector& selector, Findings& findings) {
  const auto refuse = [&](std::string reason, std::string text) {
    findings.refused.push_back({std::move(reason), resource.name,
                                static_cast<std::size_t>(selector.line), std::move(text)});
  };
  if (!selector.vendor) {
    refuse("no_vendor", "KubeVirt knows devices by their vendor, and a selector has none");
    return;
  }
  if (!selector.device && *selector.vendor == core::kNvidia) {
    refuse(
        "nvidia_any",
        "a selector has NVIDIA's vendor and no device, so KubeVirt could not tell whether it is a "
        "Grace GPU");
    return;
  }
  Permit permit{.selector = selector.device
                                ? fmt::format("{:04X}:{:04X}", *selector.vendor, *selector.device)
                                : fmt::format("{:04X}:*", *selector.vendor),
                .resource = resource.name};
  const bool is_grace = selector.device && core::IsGrace(*selector.vendor, *selector.device);
  std::vector<Permit>& permits = is_grace ? findings.grace : findings.permits;
  if (!Contains(permits, permit)) permits.push_back(std::move(permit));
}

}  // namespace

Permits PermitsOf(const core::Config& config) {
  Permits all;
  for (const core::Resource& resource : config.resources) {
    Findings findings;
    for (const core::Selector& selector : resource.selectors) Look(resource, selector, findings);
    if (!findings.refused.empty()) {
      all.refused.push_back(std::move(findings.refused.front()));
      continue;
    }
    const auto line = static_cast<std::size_t>(resource.line);
    if (!findings.grace.empty()) {
      all.warnings.push_back(
          {"grace", resource.name, line,
           fmt::format("{} is a Grace GPU: KubeVirt gives its VM an SMMUv3 of its own, whose guest "
                       "finds the doorbell in the default window only",
                       findings.grace.front().selector)});
      if (!findings.permits.empty()) {
        all.warnings.push_back(
            {"grace_mixed", resource.name, line,
             fmt::format("KubeVirt takes every device of this resource for a Grace GPU, {} too",
                         findings.permits.front().selector)});
      }
    }
    std::move(findings.permits.begin(), findings.permits.end(), std::back_inserter(all.permits));
    std::move(findings.grace.begin(), findings.grace.end(), std::back_inserter(all.permits));
  }
  return all;
}

}  // namespace dp::controller
