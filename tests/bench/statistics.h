// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace dp::bench {

// The smallest sample that is not below `percent` of them (nearest rank). At least one sample.
double Percentile(std::vector<double> samples, double percent);

}  // namespace dp::bench
