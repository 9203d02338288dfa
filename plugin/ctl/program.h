// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace dp::ctl {

// The whole program behind main(). Returns its exit code (answer.h).
int RunProgram(int argc, const char* const* argv);

}  // namespace dp::ctl
