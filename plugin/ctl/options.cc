// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/options.h"

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "plugin/ctl/answer.h"
#include "plugin/ctl/completion.h"

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

// The variable is that of the daemon, so that both look at the same in its container.
CLI::Option* AddPlace(CLI::App& app, const std::string& flag, std::string& value,
                      const std::string& variable, const std::string& help) {
  return AddValue(app, flag, value, help)->envname(variable)->capture_default_str();
}

CLI::Option* AddPlaces(CLI::App& app, Places& places) {
  AddPlace(app, "--socket", places.socket, "VFIO_DOORBELL_ADMIN_SOCKET",
           "Where the daemon answers.");
  AddPlace(app, "--sysfs-root", places.sysfs_root, "VFIO_DOORBELL_SYSFS_ROOT",
           "Where sysfs is mounted.");
  AddPlace(app, "--data-dir", places.data_dir, "VFIO_DOORBELL_DATA_DIR",
           "The folder of the daemon's ledger.");
  return AddPlace(app, "--config", places.config, "VFIO_DOORBELL_CONFIG",
                  "The daemon's configuration.");
}

void AddFormat(CLI::App& app, Format& format) {
  static const std::map<std::string, Format> kFormats{{"table", Format::kTable},
                                                      {"wide", Format::kWide},
                                                      {"json", Format::kJson},
                                                      {"yaml", Format::kYaml}};
  app.add_option_function<std::string>(
         "-o,--output", [&format](const std::string& name) { format = kFormats.at(name); },
         "How to write it: table, wide, json or yaml.")
      ->check(CLI::IsMember(&kFormats).description(""))
      ->take_last()
      ->type_name("");
}

void AddHostPlaces(CLI::App& app, Places& places) {
  AddPlace(app, "--kubelet-dir", places.kubelet_dir, "VFIO_DOORBELL_KUBELET_DIR",
           "The folder of the kubelet's device plugin sockets.");
  AddPlace(app, "--pod-resources-socket", places.pod_resources_socket,
           "VFIO_DOORBELL_POD_RESOURCES_SOCKET", "The kubelet's PodResources API.");
  AddPlace(app, "--dev-root", places.dev_root, "VFIO_DOORBELL_DEV_ROOT",
           "Where the device nodes of the host are seen.");
}

CLI::App* AddCommand(CLI::App& app, Options& options, Command command, const std::string& name,
                     const std::string& help) {
  CLI::App* added = app.add_subcommand(name, help);
  added->fallthrough();
  added->callback([&options, command] { options.command = command; });
  return added;
}

CLI::Option* AddSubject(CLI::App& command, Options& options, const std::string& name,
                        const std::string& help) {
  return command.add_option(name, options.subject, help)->required()->type_name("");
}

void AddExplain(CLI::App& app, Options& options, CLI::Option* config) {
  CLI::App* explain =
      AddCommand(app, options, Command::kExplain, "explain",
                 "Say where a guest has its memory, and whether doorbell windows meet it.");
  AddValue(
      *explain, "-f,--file", options.file,
      "The guest: a VirtualMachineInstance or VirtualMachine of KubeVirt in YAML or JSON, or a "
      "domain of libvirt. -: standard input.")
      ->required();
  CLI::Option* window = AddValue(*explain, "--window", options.window,
                                 "The window to look at, as START:END. Default: each window of the "
                                 "pool of --config, or of the default pool.")
                            ->excludes(config);
  explain->add_flag("--daemon", options.from_daemon, "The windows of the pool that the daemon has.")
      ->excludes(config)
      ->excludes(window);
}

void AddCapture(CLI::App& app, Options& options) {
  CLI::App* capture =
      AddCommand(app, options, Command::kCapture, "capture",
                 "Pack what this program reads of the host into one text, for a bug report.");
  AddValue(*capture, "-o,--output", options.output_file,
           "The file to write, which must not be there. Default: standard output.");
  AddHostPlaces(*capture, options.places);
}

void AddRelease(CLI::App& app, Options& options) {
  CLI::App* release =
      AddCommand(app, options, Command::kRelease, "release",
                 "End the reservation of a window whose pod has gone, without the grace time.");
  AddSubject(*release, options, "window", "Where the window begins, as list shows it.");
  release->add_flag("-y,--yes", options.yes, "Do not ask first.");
}

void AddCommands(CLI::App& app, Options& options) {
  CLI::Option* config = AddPlaces(app, options.places);
  AddValue(app, "--root", options.root,
           "An archive that `capture` has made: its host is looked at, instead of this one.");
  AddFormat(app, options.format);
  AddCommand(app, options, Command::kList, "list",
             "List the devices of this node, their windows, and what the kernel says.");
  AddSubject(*AddCommand(app, options, Command::kDescribe, "describe",
                         "Say all that is known of a device."),
             options, "subject", "A PCI address, the number of an IOMMU group, or namespace/pod.");
  AddSubject(*AddCommand(app, options, Command::kWhois, "whois",
                         "Say whose doorbell window an I/O address is in."),
             options, "text", "The address, or lines of the kernel's log. -: standard input.");
  AddExplain(app, options, config);
  AddSubject(*AddCommand(app, options, Command::kCheckConfig, "check-config",
                         "Read a configuration of the daemon, and compare it with this host."),
             options, "file", "The configuration.");
  AddHostPlaces(*AddCommand(app, options, Command::kDiag, "diag",
                            "Say what is right on this host, what is wrong, and what to do."),
                options.places);
  AddRelease(app, options);
  AddCapture(app, options);
  AddSubject(*AddCommand(app, options, Command::kCompletion, "completion",
                         "Print what completes the words of this program in a shell."),
             options, "shell", "bash, zsh or fish.")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}).description(""));
  app.final_callback([&options, config] { options.has_config = config->count() > 0; });
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
  AddCommands(app, parsed.options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version come this way too, with code 0.
    parsed.exit_code = app.exit(error) == 0 ? kExitOk : kExitUsage;
    return parsed;
  }
  if (parsed.options.command == Command::kCompletion)
    parsed.completion = Completion(app, parsed.options.subject);
  return parsed;
}

}  // namespace dp::ctl
