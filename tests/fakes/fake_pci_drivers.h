// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "plugin/core/ports.h"
#include "tests/fakes/fake_host.h"

namespace dp::fakes {

// The PCI bus of a FakeHost, by the kernel's rules (drivers/base/dd.c, drivers/pci/pci-driver.c):
// an unbound function stays without a driver until somebody asks for a probe, which binds what its
// driver_override says, or without one what the kernel knows for it. Public members are for the
// test to change.
class FakePciDrivers final : public core::PciDrivers {
 public:
  explicit FakePciDrivers(FakeHost& host) : host_(host) {}

  std::set<std::string> drivers{"vfio-pci", "nvme", "ice", "snd_hda_intel"};  // that are loaded
  std::map<std::string, std::string> natural;    // address -> what a probe binds
  std::map<std::string, std::string> overrides;  // address -> driver_override
  std::map<std::string, std::string> used;       // address -> how the host uses it
  std::set<std::string> refused;                 // addresses that vfio-pci does not take
  std::set<std::uint32_t> held;                  // groups that a VMM has
  int writes = 0;                                // to sysfs, so far
  int fail_at = 0;                               // the write that fails, counted from 1
  int die_after = -1;    // writes, after which the daemon is dead: nothing has an effect any more
  bool blocked = false;  // an unbinding waited for a VMM, or came although the host used it

  [[nodiscard]] std::string DriverOf(const std::string& address);
  // "nvme", and with an override "nvme!vfio-pci".
  [[nodiscard]] std::string StateOf(const std::string& address);
  [[nodiscard]] int claims() const { return *claims_; }

  absl::Status FindDriver(const std::string& driver) override;
  absl::StatusOr<core::DriverState> Read(const std::string& address) override;
  absl::StatusOr<std::unique_ptr<core::Claim>> ClaimFromHost(const std::string& address) override;
  absl::StatusOr<std::unique_ptr<core::Claim>> ClaimFromVmm(std::uint32_t group) override;
  absl::Status SetOverride(const std::string& address, const std::string& driver) override;
  absl::Status Unbind(const std::string& address, const std::string& driver) override;
  absl::Status Probe(const std::string& address) override;

 private:
  core::Function* Find(const std::string& address, std::uint32_t* group = nullptr);
  absl::Status Write();
  void MakeGroup(const std::string& address);
  [[nodiscard]] std::unique_ptr<core::Claim> MakeClaim() const;

  FakeHost& host_;
  std::shared_ptr<int> claims_ = std::make_shared<int>(0);
};

}  // namespace dp::fakes
