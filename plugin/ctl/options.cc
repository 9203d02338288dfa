// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/options.h"

#include <CLI/CLI.hpp>

#include "plugin/ctl/answer.h"

namespace dp::ctl {
namespace {

constexpr char kFooter[] =
    "Exit codes: 0 for success, 1 if the answer is no (a window is rejected, something is wrong),\n"
    "2 for a wrong command line or a file that cannot be understood, 3 if the daemon or the host\n"
    "cannot be read.";

CLI::Option* AddValue(CLI::App& app, const std::string& flags, std::string& value,
                      const std::string& help) {
  return app.add_option(flags, value, help)->take_last()->type_name("");
}

void AddExplain(CLI::App& app, Options& options) {
  CLI::App* explain = app.add_subcommand(
      "explain", "Say where a guest has its memory, and whether doorbell windows meet it.");
  AddValue(
      *explain, "-f,--file", options.file,
      "The guest: a VirtualMachineInstance or VirtualMachine of KubeVirt in YAML or JSON, or a "
      "domain of libvirt. -: standard input.")
      ->required();
  CLI::Option* window =
      AddValue(*explain, "--window", options.window,
               "The window to look at, as START:END. Default: each window of the pool.");
  AddValue(*explain, "--config", options.config,
           "The configuration whose pool counts. Default: the pool of a configuration that names "
           "none.")
      ->excludes(window);
  explain->callback([&options] { options.command = Command::kExplain; });
}

}  // namespace

std::string ProgramName(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  return name == "kubectl-doorbell" ? "kubectl doorbell" : "doorbellctl";
}

ParsedOptions ParseOptions(int argc, const char* const* argv) {
  ParsedOptions parsed;
  CLI::App app("Shows what the MSI doorbell windows of this node are, and why.",
               ProgramName(argc > 0 ? argv[0] : ""));
  app.footer(kFooter);
  app.set_version_flag("--version", "doorbellctl " VFIO_DOORBELL_VERSION,
                       "Print the version and exit.");
  app.set_help_flag("-h,--help", "Print this help and exit.");
  app.require_subcommand(1);
  AddExplain(app, parsed.options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version come this way too, with code 0.
    parsed.exit_code = app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return parsed;
}

}  // namespace dp::ctl
