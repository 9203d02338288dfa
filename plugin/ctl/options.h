// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace dp::ctl {

enum class Command { kExplain };

// What the command line asks for.
struct Options {
  Command command = Command::kExplain;
  std::string file;    // with a guest, or "-"
  std::string window;  // START:END; empty: those of the pool
  std::string config;  // file whose pool counts; empty: the default one
};

// `exit_code` is -1 if the program is to go on; otherwise what there is to say (help, version, what
// is wrong) has been printed.
struct ParsedOptions {
  Options options;
  int exit_code = -1;
};
ParsedOptions ParseOptions(int argc, const char* const* argv);

// What a person types to start a program that was started by this path: "doorbellctl", or "kubectl
// doorbell" for kubectl-doorbell, which is how kubectl finds its plugins.
std::string ProgramName(const std::string& path);

}  // namespace dp::ctl
