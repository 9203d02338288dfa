// SPDX-License-Identifier: Apache-2.0
#include "plugin/settings/cdi_json.h"

#include <gtest/gtest.h>

namespace dp::settings {
namespace {

TEST(CdiJsonTest, IsASpecification) {
  core::Settings settings;
  settings.resource = "vendor.example/nvme";
  settings.device_nodes = {"/dev/vfio/vfio", "/dev/vfio/7"};
  EXPECT_EQ(ToCdiJson("0000:01:00.0", settings), R"({
  "cdiVersion": "0.5.0",
  "kind": "vendor.example/nvme",
  "devices": [
    {
      "name": "0000:01:00.0",
      "containerEdits": {
        "env": [
          "VFIO_DOORBELL_MODE_VENDOR_EXAMPLE_NVME=enforce",
          "VFIO_DOORBELL_GENERATION_VENDOR_EXAMPLE_NVME=0",
          "VFIO_DOORBELL_WINDOW_BASE_VENDOR_EXAMPLE_NVME=",
          "VFIO_DOORBELL_WINDOW_SIZE_VENDOR_EXAMPLE_NVME=",
          "VFIO_DOORBELL_PAGE_SIZE_VENDOR_EXAMPLE_NVME=0",
          "VFIO_DOORBELL_GROUPS_VENDOR_EXAMPLE_NVME=",
          "VFIO_DOORBELL_FUNCTIONS_VENDOR_EXAMPLE_NVME="
        ],
        "deviceNodes": [
          {
            "path": "/dev/vfio/vfio",
            "permissions": "rwm",
            "uid": 107,
            "gid": 107
          },
          {
            "path": "/dev/vfio/7",
            "permissions": "rwm",
            "uid": 107,
            "gid": 107
          }
        ]
      }
    }
  ]
}
)");
}

}  // namespace
}  // namespace dp::settings
