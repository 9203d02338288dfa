// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

// Which drivers functions had before the daemon bound others, as it is kept over its restarts.
// Plain values.
namespace dp::core {

// What decides which driver a PCI function is on.
struct DriverState {
  std::string address;          // of the function: "0000:01:00.0"
  std::string driver;           // that is bound; empty: none
  std::string driver_override;  // the only driver that may be bound; empty: any

  friend bool operator==(const DriverState&, const DriverState&) = default;
};

struct DriverRecord {
  // Of the boot in which they were bound: after another one every function has the driver that the
  // host gives it, and the record is void.
  std::string boot_id;
  std::vector<DriverState> former;  // one for each function that the daemon has touched

  friend bool operator==(const DriverRecord&, const DriverRecord&) = default;
};

}  // namespace dp::core
