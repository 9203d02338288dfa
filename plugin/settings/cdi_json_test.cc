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
