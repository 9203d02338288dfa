// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "plugin/guest/vmi.h"
#include "tests/fuzz/require.h"
#include "tests/fuzz/sound_map.h"

// Input: a VirtualMachineInstance or VirtualMachine as JSON.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto vmi = dp::guest::ParseVmi({reinterpret_cast<const char*>(data), size});
  if (vmi.ok()) {
    dp::fuzz::Require(vmi->ram > 0, "a guest has RAM");
    const dp::guest::Layout layout = dp::guest::LayoutOf(*vmi);
    dp::fuzz::Require(layout.ram >= vmi->ram && layout.ram - vmi->ram < dp::guest::kMib,
                      "RAM is whole MiB");
    dp::fuzz::RequireSoundMap(layout);
  } else {
    dp::fuzz::Require(absl::IsInvalidArgument(vmi.status()), "an error is InvalidArgument",
                      vmi.status().ToString());
    dp::fuzz::RequireOneLine(std::string(vmi.status().message()));
  }
  return 0;
}
