// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/program.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>
#include <utility>

#include "plugin/cli/process.h"
#include "plugin/config/config_check.h"
#include "plugin/config/config_file.h"
#include "plugin/ctl/answer.h"
#include "plugin/ctl/archive.h"
#include "plugin/ctl/capture.h"
#include "plugin/ctl/diag.h"
#include "plugin/ctl/explain_command.h"
#include "plugin/ctl/host.h"
#include "plugin/ctl/options.h"
#include "plugin/ctl/output.h"
#include "plugin/ctl/release.h"
#include "plugin/ctl/show_node.h"
#include "plugin/ctl/unpack.h"
#include "plugin/ctl/whois.h"
#include "plugin/os/input.h"

namespace dp::ctl {
namespace {

std::int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// https://no-color.org
bool WantsColour() {
  const char* no_colour = std::getenv("NO_COLOR");
  return ::isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == 0);
}

// Shows what there is on the host.
Answer OfHost(const Places& places, const std::function<Answer(const Reading& reading)>& show) {
  const auto reading = ReadHost(places);
  if (!reading.ok()) return NoAnswer(kExitUnreadable, std::string(reading.status().message()));
  Answer answer = show(*reading);
  answer.notes.insert(answer.notes.begin(), reading->notes.begin(), reading->notes.end());
  if (answer.exit_code == kExitOk && !reading->is_complete) answer.exit_code = kExitUnreadable;
  return answer;
}

Answer Run(const Options& options);

Answer Whois(const Options& options, const Style& style) {
  std::string text = options.subject;
  if (text == "-") {
    auto input = os::ReadFileOrInput(text, kMostEventText);
    if (!input.ok()) return NoAnswer(kExitUsage, std::string(input.status().message()));
    text = *std::move(input);
  }
  return OfHost(options.places, [&](const Reading& reading) {
    return ShowWhois(text, reading.node, reading.inventory, style);
  });
}

Answer CheckConfig(const Options& options) {
  const auto config = config::LoadConfigFile(options.subject);
  if (!config.ok()) return NoAnswer(kExitUsage, std::string(config.status().message()));
  const auto said =
      config::CheckConfig(options.subject, *config, ReadInventory(options.places.sysfs_root));
  if (!said.ok()) return NoAnswer(kExitUsage, std::string(said.status().message()));
  return {.exit_code = kExitOk, .text = *said + '\n', .notes = {}};
}

bool AskAtTerminal(const std::string& question) {
  fmt::print("{}", question);
  std::fflush(stdout);
  std::string answer;
  return std::getline(std::cin, answer) && (answer == "y" || answer == "yes");
}

Answer RunRelease(const Options& options) {
  if (options.yes) return Release(options.places.socket, options.subject, {});
  if (::isatty(STDIN_FILENO) != 1)
    return NoAnswer(kExitUsage, "there is no terminal to ask at: give --yes to release the window");
  return Release(options.places.socket, options.subject, &AskAtTerminal);
}

Answer RunCapture(const Options& options) {
  const ArchiveWriter archive = Capture(options.places);
  Answer answer{.exit_code = kExitOk, .text = archive.Finish(), .notes = {}};
  if (archive.left_out() > 0) {
    answer.notes.push_back(
        fmt::format("left out: {}; the end of the archive says what", archive.left_out()));
  }
  if (options.output_file.empty()) return answer;
  const absl::Status status = WriteNewFile(options.output_file, answer.text);
  if (!status.ok()) return NoAnswer(kExitUsage, std::string(status.message()));
  answer.text.clear();
  return answer;
}

// The same, of the host in an archive.
Answer RunInArchive(Options options) {
  if (options.command == Command::kRelease || options.command == Command::kCapture)
    return NoAnswer(kExitUsage, "--root is for looking only");
  const auto unpacked = Unpacked::Create(options.root);
  if (!unpacked.ok()) return NoAnswer(kExitUsage, std::string(unpacked.status().message()));
  const std::string config = options.places.config;
  options.places = PlacesIn((*unpacked)->path());
  if (options.has_config) options.places.config = config;
  options.root.clear();
  return Run(options);
}

Answer Run(const Options& options) {
  if (!options.root.empty()) return RunInArchive(options);
  const Style style{.format = options.format, .has_colour = WantsColour(), .now_ms = NowMs()};
  switch (options.command) {
    case Command::kList:
      return OfHost(options.places,
                    [&](const Reading& reading) { return ShowList(reading.node, style); });
    case Command::kDescribe:
      return OfHost(options.places, [&](const Reading& reading) {
        return ShowDevices(reading.node, options.subject, style);
      });
    case Command::kWhois:
      return Whois(options, style);
    case Command::kExplain:
      return RunExplain(options, style);
    case Command::kCheckConfig:
      return CheckConfig(options);
    case Command::kDiag:
      return ShowDiagnosis(Diagnose(ReadEvidence(options.places)), style);
    case Command::kRelease:
      return RunRelease(options);
    case Command::kCapture:
      return RunCapture(options);
    case Command::kCompletion:
      break;
  }
  return {};
}

}  // namespace

int RunProgram(int argc, const char* const* argv) {
  cli::PrepareProcess();
  const ParsedOptions parsed = ParseOptions(argc, argv);
  if (parsed.exit_code >= 0) return parsed.exit_code;
  Answer answer = Run(parsed.options);
  if (!parsed.completion.empty()) answer.text = parsed.completion;
  std::fputs(answer.text.c_str(), stdout);
  // Before what is said about it.
  std::fflush(stdout);
  for (const std::string& note : answer.notes) fmt::print(stderr, "doorbellctl: {}\n", note);
  return answer.exit_code;
}

}  // namespace dp::ctl
