// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/program.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>

#include "plugin/cli/process.h"
#include "plugin/ctl/answer.h"
#include "plugin/ctl/explain_command.h"
#include "plugin/ctl/options.h"

namespace dp::ctl {
namespace {

Answer Run(const Options& options) {
  switch (options.command) {
    case Command::kExplain:
      return RunExplain(options);
  }
  return {};
}

}  // namespace

int RunProgram(int argc, const char* const* argv) {
  cli::PrepareProcess();
  const ParsedOptions parsed = ParseOptions(argc, argv);
  if (parsed.exit_code >= 0) return parsed.exit_code;
  const Answer answer = Run(parsed.options);
  std::fputs(answer.text.c_str(), stdout);
  // Before what is said about it.
  std::fflush(stdout);
  for (const std::string& note : answer.notes) fmt::print(stderr, "doorbellctl: {}\n", note);
  return answer.exit_code;
}

}  // namespace dp::ctl
