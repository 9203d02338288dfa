// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_pci_drivers.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace dp::fakes {
namespace {

class CountedClaim final : public core::Claim {
 public:
  explicit CountedClaim(std::shared_ptr<int> count) : count_(std::move(count)) { ++*count_; }
  CountedClaim(const CountedClaim&) = delete;
  CountedClaim& operator=(const CountedClaim&) = delete;
  ~CountedClaim() override { --*count_; }

 private:
  std::shared_ptr<int> count_;
};

}  // namespace

core::Function* FakePciDrivers::Find(const std::string& address, std::uint32_t* group) {
  const auto is_it = [&](const core::Function& f) { return f.name == address; };
  for (core::Group& candidate : host_.inventory.groups) {
    const auto found = std::find_if(candidate.functions.begin(), candidate.functions.end(), is_it);
    if (found == candidate.functions.end()) continue;
    if (group != nullptr) *group = candidate.number;
    return &*found;
  }
  const auto found = std::find_if(host_.ungrouped.begin(), host_.ungrouped.end(), is_it);
  return found == host_.ungrouped.end() ? nullptr : &*found;
}

std::string FakePciDrivers::DriverOf(const std::string& address) {
  const core::Function* function = Find(address);
  return function == nullptr ? "gone" : function->driver;
}

std::string FakePciDrivers::StateOf(const std::string& address) {
  const auto found = overrides.find(address);
  return DriverOf(address) + (found == overrides.end() ? "" : "!" + found->second);
}

std::unique_ptr<core::Claim> FakePciDrivers::MakeClaim() const {
  return std::make_unique<CountedClaim>(claims_);
}

absl::Status FakePciDrivers::Write() {
  if (die_after >= 0 && writes >= die_after) return absl::AbortedError("the daemon is dead");
  ++writes;
  if (writes == fail_at) return absl::InternalError(fmt::format("write {} fails", writes));
  return absl::OkStatus();
}

absl::Status FakePciDrivers::FindDriver(const std::string& driver) {
  if (drivers.contains(driver)) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format("no driver {}", driver));
}

absl::StatusOr<core::DriverState> FakePciDrivers::Read(const std::string& address) {
  const core::Function* function = Find(address);
  if (function == nullptr) return absl::NotFoundError(fmt::format("no function {}", address));
  const auto found = overrides.find(address);
  return core::DriverState{.address = address,
                           .driver = function->driver,
                           .driver_override = found == overrides.end() ? "" : found->second};
}

absl::StatusOr<std::unique_ptr<core::Claim>> FakePciDrivers::ClaimFromHost(
    const std::string& address) {
  if (const auto found = used.find(address); found != used.end())
    return absl::FailedPreconditionError(fmt::format("{} {}", address, found->second));
  return MakeClaim();
}

absl::StatusOr<std::unique_ptr<core::Claim>> FakePciDrivers::ClaimFromVmm(std::uint32_t group) {
  if (held.contains(group))
    return absl::UnavailableError(fmt::format("a VMM has IOMMU group {}", group));
  const core::Group* found = host_.Find(group);
  const bool has_node = found != nullptr &&
                        std::any_of(found->functions.begin(), found->functions.end(),
                                    [](const core::Function& f) { return f.driver == "vfio-pci"; });
  if (!has_node) return absl::NotFoundError(fmt::format("no node of group {}", group));
  return MakeClaim();
}

absl::Status FakePciDrivers::SetOverride(const std::string& address, const std::string& driver) {
  if (absl::Status status = Write(); !status.ok()) return status;
  if (Find(address) == nullptr) return absl::NotFoundError("no function " + address);
  if (driver.empty()) {
    overrides.erase(address);
  } else {
    overrides[address] = driver;
  }
  return absl::OkStatus();
}

absl::Status FakePciDrivers::Unbind(const std::string& address, const std::string& driver) {
  if (absl::Status status = Write(); !status.ok()) return status;
  std::uint32_t group = 0;
  core::Function* function = Find(address, &group);
  if (function == nullptr || function->driver != driver)
    return absl::NotFoundError(fmt::format("{} is not on {}", address, driver));
  blocked = blocked || used.contains(address) || (driver == "vfio-pci" && held.contains(group));
  function->driver.clear();
  function->cdev.clear();
  return absl::OkStatus();
}

absl::Status FakePciDrivers::Probe(const std::string& address) {
  if (absl::Status status = Write(); !status.ok()) return status;
  core::Function* function = Find(address);
  if (function == nullptr) return absl::NotFoundError("no function " + address);
  if (!function->driver.empty()) return absl::OkStatus();
  const auto named = overrides.find(address);
  const auto known = natural.find(address);
  std::string driver;
  if (named != overrides.end()) {
    driver = named->second;
  } else if (known != natural.end()) {
    driver = known->second;
  }
  if (!drivers.contains(driver)) return absl::OkStatus();
  if (driver == "vfio-pci" && refused.contains(address)) return absl::OkStatus();
  function->driver = driver;
  MakeGroup(address);
  return absl::OkStatus();
}

// A function gets its group with its first driver.
void FakePciDrivers::MakeGroup(const std::string& address) {
  const auto found =
      std::find_if(host_.ungrouped.begin(), host_.ungrouped.end(),
                   [&](const core::Function& function) { return function.name == address; });
  if (found == host_.ungrouped.end()) return;
  host_.AddGroup(GroupOf(1000 + static_cast<std::uint32_t>(host_.inventory.groups.size()),
                         {std::move(*found)}));
  host_.ungrouped.erase(found);
}

}  // namespace dp::fakes
