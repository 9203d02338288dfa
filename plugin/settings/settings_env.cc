// SPDX-License-Identifier: Apache-2.0
#include "plugin/settings/settings_env.h"

#include <fmt/format.h>

#include <string_view>

#include "plugin/core/grant.h"

namespace dp::settings {
namespace {

void Append(std::string& list, std::string_view item) {
  if (!list.empty()) list += ' ';
  list += item;
}

// Within single quotes the shell leaves everything alone but the quote itself.
std::string Quoted(std::string_view value) {
  std::string quoted = "'";
  for (const char byte : value) {
    if (byte == '\'') {
      quoted += R"('\'')";
    } else {
      quoted += byte;
    }
  }
  return quoted + '\'';
}

}  // namespace

std::vector<std::pair<std::string, std::string>> ToVariables(const core::Settings& settings) {
  std::string groups;
  std::string functions;
  for (const core::Settings::Group& group : settings.groups) {
    Append(groups, std::to_string(group.number));
    for (const std::string& function : group.functions) Append(functions, function);
  }
  const auto& window = settings.window;
  const std::string suffix = core::VariableSuffix(settings.resource);
  std::vector<std::pair<std::string, std::string>> variables;
  const auto add = [&](std::string_view name, std::string value) {
    variables.emplace_back(fmt::format("VFIO_DOORBELL_{}_{}", name, suffix), std::move(value));
  };
  add("MODE", std::string(core::ModeName(settings.mode)));
  add("GENERATION", std::to_string(settings.generation));
  add("WINDOW_BASE", window ? fmt::format("{:#010x}", window->base) : "");
  add("WINDOW_SIZE", window ? fmt::format("{:#010x}", window->size) : "");
  add("PAGE_SIZE", std::to_string(settings.page_size));
  add("GROUPS", std::move(groups));
  add("FUNCTIONS", std::move(functions));
  return variables;
}

std::string ToEnv(const core::Settings& settings) {
  std::string text;
  for (const auto& [name, value] : ToVariables(settings))
    text += fmt::format("{}={}\n", name, Quoted(value));
  return text;
}

}  // namespace dp::settings
