// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/explain_command.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "plugin/base/status_macros.h"
#include "plugin/config/config_file.h"
#include "plugin/ctl/daemon.h"
#include "plugin/ctl/explain.h"
#include "plugin/ctl/guest_document.h"
#include "plugin/os/input.h"

namespace dp::ctl {
namespace {

// Where the windows are, and what they are called.
struct Question {
  std::vector<WindowVerdict> verdicts;
  std::string what;
};

absl::StatusOr<Question> Judge(const Guest& guest, const Options& options) {
  if (!options.window.empty()) {
    const auto window = ParseWindowRange(options.window);
    if (!window.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("--window {}", std::string(window.status().message())));
    }
    // A pool of one.
    return Question{.verdicts = JudgePool(guest, {.start = window->base,
                                                  .end = window->base + window->size,
                                                  .window_size = window->size}),
                    .what = ""};
  }
  if (options.from_daemon) {
    ASSIGN_OR_RETURN(const Node node, AskState(options.places.socket));
    if (node.pool.window_size == 0 || node.pool.end <= node.pool.start)
      return absl::UnavailableError("the daemon names no pool");
    return Question{.verdicts = JudgePool(guest, node.pool), .what = "of the pool of the daemon"};
  }
  if (!options.has_config)
    return Question{.verdicts = JudgePool(guest, {}), .what = "of the default pool"};
  const auto config = config::LoadConfigFile(options.places.config);
  if (!config.ok()) return absl::InvalidArgumentError(std::string(config.status().message()));
  return Question{.verdicts = JudgePool(guest, config->pool),
                  .what = fmt::format("of the pool of {}", options.places.config)};
}

}  // namespace

Answer RunExplain(const Options& options, const Style& style) {
  const auto text = os::ReadFileOrInput(options.file, kMostDocumentBytes);
  if (!text.ok()) return NoAnswer(kExitUsage, std::string(text.status().message()));
  const auto guest =
      ReadGuest(*text, options.file == "-" ? "standard input" : std::string_view(options.file));
  if (absl::IsFailedPrecondition(guest.status())) {
    return {.exit_code = kExitNo,
            .text = fmt::format("reject  {}\n", std::string(guest.status().message())),
            .notes = {}};
  }
  if (!guest.ok()) return NoAnswer(kExitUsage, std::string(guest.status().message()));
  const auto question = Judge(*guest, options);
  if (!question.ok()) {
    return NoAnswer(absl::IsInvalidArgument(question.status()) ? kExitUsage : kExitUnreadable,
                    std::string(question.status().message()));
  }
  return Explain(*guest, question->verdicts, question->what, style);
}

}  // namespace dp::ctl
