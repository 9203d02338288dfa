// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace dp::monitor_app {

// The whole program behind main(). Returns its exit code (options.h).
int RunProgram(int argc, const char* const* argv);

}  // namespace dp::monitor_app
