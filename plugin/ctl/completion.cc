// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/completion.h"

#include <fmt/format.h>

#include <vector>

namespace dp::ctl {
namespace {

std::vector<const CLI::App*> CommandsOf(const CLI::App& app) {
  return app.get_subcommands(nullptr);
}

// "-o --output --config".
std::string FlagsOf(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_snames()) flags.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return fmt::format("{}", fmt::join(flags, " "));
}

std::string NamesOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : CommandsOf(app)) names.push_back(command->get_name());
  return fmt::format("{}", fmt::join(names, " "));
}

// In both shells the words so far are in ${words[@]}, and the subcommand is the first that is one.
std::string CasesOf(const CLI::App& app, std::string_view indent) {
  std::string cases;
  for (const CLI::App* command : CommandsOf(app)) {
    cases += fmt::format("{}{}) flags=\"{} {}\" ;;\n", indent, command->get_name(),
                         FlagsOf(*command), FlagsOf(app));
  }
  cases += fmt::format("{}*) flags=\"{} {}\" ;;\n", indent, NamesOf(app), FlagsOf(app));
  return cases;
}

std::string Bash(const CLI::App& app) {
  return fmt::format(R"(# bash completion of doorbellctl
_doorbellctl() {{
  local word command='' flags=''
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case " {} " in *" $word "*) command=$word; break ;; esac
  done
  case $command in
{}  esac
  COMPREPLY=()
  mapfile -t COMPREPLY < <(compgen -W "$flags" -- "${{COMP_WORDS[COMP_CWORD]}}")
}}
complete -o default -F _doorbellctl doorbellctl
)",
                     NamesOf(app), CasesOf(app, "    "));
}

std::string Zsh(const CLI::App& app) {
  return fmt::format(R"(#compdef doorbellctl
_doorbellctl() {{
  local word command='' flags=''
  for word in "${{(@)words[2,CURRENT-1]}}"; do
    case " {} " in *" $word "*) command=$word; break ;; esac
  done
  case $command in
{}  esac
  compadd -- ${{=flags}}
  [[ -z $command ]] || _files
}}
compdef _doorbellctl doorbellctl
)",
                     NamesOf(app), CasesOf(app, "    "));
}

// In single quotes, where fish knows \' and \\ only.
std::string Quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

std::string FishFlags(const CLI::App& app, std::string_view condition) {
  std::string lines;
  for (const CLI::Option* option : app.get_options()) {
    std::string names;
    for (const std::string& name : option->get_snames()) names += " -s " + name;
    for (const std::string& name : option->get_lnames()) names += " -l " + name;
    if (names.empty()) continue;
    lines += fmt::format("complete -c doorbellctl{}{} -d {}\n", condition, names,
                         Quoted(option->get_description()));
  }
  return lines;
}

std::string Fish(const CLI::App& app) {
  std::string lines = "# fish completion of doorbellctl\n" + FishFlags(app, "");
  for (const CLI::App* command : CommandsOf(app)) {
    lines += fmt::format("complete -c doorbellctl -n __fish_use_subcommand -a {} -d {}\n",
                         command->get_name(), Quoted(command->get_description()));
    lines += FishFlags(*command,
                       fmt::format(" -n '__fish_seen_subcommand_from {}'", command->get_name()));
  }
  return lines;
}

}  // namespace

std::string Completion(const CLI::App& app, std::string_view shell) {
  if (shell == "bash") return Bash(app);
  return shell == "zsh" ? Zsh(app) : Fish(app);
}

}  // namespace dp::ctl
