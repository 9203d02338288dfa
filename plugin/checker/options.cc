// SPDX-License-Identifier: Apache-2.0
#include "plugin/checker/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <cstddef>

#include "plugin/cli/flags.h"

namespace dp::checker {
namespace {

constexpr char kFooter[] =
    "Exit codes: 0 for success, 1 for a failure of the host or the socket, 2 for a wrong command "
    "line.\n"
    "With --check: 0 if the domain is accepted, 1 if it is refused, 2 if it is no domain.";

}  // namespace

std::string DefaultSocket(std::string_view container, std::uint64_t number) {
  // A path of a Unix socket has 107 bytes at most.
  constexpr std::size_t kLongestContainer = 32;
  std::string name;
  for (const char c : container.substr(0, kLongestContainer)) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-') name += c;
  }
  if (!name.empty()) name += '-';
  return fmt::format("/var/run/kubevirt-hooks/vfio-doorbell-{}{:016x}.sock", name, number);
}

ParsedOptions ParseOptions(int argc, const char* const* argv, std::uint64_t number) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  std::string container;

  CLI::App app(
      "Checks, for KubeVirt, that the MSI doorbell windows of a virtual machine's devices are "
      "apart from its memory. Gives back each domain as it came, or an error; changes nothing.",
      "vfio-doorbell-checker");
  app.footer(kFooter);
  app.set_version_flag("--version", "vfio-doorbell-checker " VFIO_DOORBELL_VERSION);
  cli::AddValue(
      app, "--socket", options.socket,
      "The Unix socket to listen on. Default: one of its own in /var/run/kubevirt-hooks.");
  cli::AddValue(app, "--container-name", container,
                "Part of the default name of the socket. KubeVirt sets it in a legacy sidecar.")
      ->envname("CONTAINER_NAME");
  cli::AddValue(app, "--sysfs-root", options.sysfs_root, "Where sysfs is mounted.");
  cli::AddLogLevel(app, options.log_level);
  cli::AddValue(
      app, "--check", options.check,
      "Check the domain in this file (-: standard input), print verdict and memory map, and "
      "exit.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version come this way too, with code 0.
    parsed.exit_code = app.exit(error) == 0 ? kExitOk : kExitUsage;
    return parsed;
  }
  if (options.socket.empty()) options.socket = DefaultSocket(container, number);
  return parsed;
}

}  // namespace dp::checker
