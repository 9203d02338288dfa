// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/program.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>

#include "plugin/cli/process.h"
#include "plugin/ctl/answer.h"
#include "plugin/ctl/explain_command.h"
#include "plugin/ctl/host.h"
#include "plugin/ctl/options.h"
#include "plugin/ctl/output.h"
#include "plugin/ctl/show_node.h"
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

Answer Run(const Options& options) {
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
