// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

namespace dp::ctl {

// What makes a shell ("bash", "zsh" or "fish") complete the subcommands and flags of a command
// line, and file names.
std::string Completion(const CLI::App& app, std::string_view shell);

}  // namespace dp::ctl
