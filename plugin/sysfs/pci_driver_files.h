// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"
#include "plugin/core/ports.h"
#include "plugin/os/claim.h"
#include "plugin/sysfs/sysfs_root.h"

namespace dp::sysfs {

// The attributes of sysfs that bind drivers (Documentation/ABI/testing/sysfs-bus-pci), and what
// tells whether the host uses a function.
//
// Has no state, and may be used on any thread.
class PciDriverFiles final : public core::PciDrivers {
 public:
  struct Host {
    std::string dev_root;       // where the device nodes of the host are
    std::string root_argument;  // RootArgument() of the kernel's command line
  };
  using ClaimBlockDevice = std::function<absl::StatusOr<base::UniqueFd>(const std::string& path,
                                                                        os::DeviceNumber number)>;

  // `root` must outlive it.
  PciDriverFiles(const SysfsRoot& root, Host host, ClaimBlockDevice claim = &os::ClaimBlockDevice)
      : root_(root), host_(std::move(host)), claim_(std::move(claim)) {}

  absl::Status FindDriver(const std::string& driver) override;
  absl::StatusOr<core::DriverState> Read(const std::string& address) override;
  // In use, and so refused: a block device below the function that the kernel does not give for
  // exclusive use, or that the host was booted from; a network interface below it that is up, or
  // that cannot be seen because it is in another network namespace; virtual functions; the boot
  // console. What cannot be read counts as in use.
  absl::StatusOr<std::unique_ptr<core::Claim>> ClaimFromHost(const std::string& address) override;
  absl::StatusOr<std::unique_ptr<core::Claim>> ClaimFromVmm(std::uint32_t group) override;
  absl::Status SetOverride(const std::string& address, const std::string& driver) override;
  absl::Status Unbind(const std::string& address, const std::string& driver) override;
  absl::Status Probe(const std::string& address) override;

 private:
  [[nodiscard]] absl::Status WriteError(int error, const std::string& path,
                                        const std::string& value) const;

  const SysfsRoot& root_;
  const Host host_;
  const ClaimBlockDevice claim_;
};

// The value of root= on the kernel's command line (/proc/cmdline); empty: none.
std::string RootArgument(std::string_view command_line);

}  // namespace dp::sysfs
