// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "plugin/ctl/answer.h"
#include "plugin/ctl/options.h"

namespace dp::ctl {

// `doorbellctl explain`: reads the files that the options name.
Answer RunExplain(const Options& options, const Style& style);

}  // namespace dp::ctl
