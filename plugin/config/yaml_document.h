// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dp::config {

// A YAML document as a tree of plain values. Scalars keep the text that stands in the file: YAML's
// own guesses (0010 is eight, 1e10 is a number, "no" is false) are what a configuration of
// hexadecimal IDs must not suffer.
//
// Only what a configuration needs: one document, mappings with distinct plain keys, lists, scalars.
// Anchors, aliases and tags are refused: with aliases a few lines can stand for a billion values.
struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMapping };
  struct Entry;

  Kind kind = Kind::kNull;
  int line = 0;      // 1-based
  std::string text;  // of a scalar
  std::vector<YamlNode> items;
  std::vector<Entry> entries;

  // Of a mapping: the value of `key`, null if there is none.
  [[nodiscard]] const YamlNode* Find(std::string_view key) const;
};

struct YamlNode::Entry {
  std::string key;
  int line = 0;
  YamlNode value;
};

// What is wrong, and where: `reason` is a clause, for example "is not YAML: end of map not found".
struct YamlError {
  int line = 0;
  std::string path;  // "resources[0].name"; empty: the document as a whole
  std::string reason;
};

// Nested deeper than that is no configuration.
inline constexpr std::size_t kMaxYamlDepth = 16;

// Reads the only document of `text` into `root` (kNull if there is none). Returns the first thing
// that was wrong, if any.
std::optional<YamlError> ParseYaml(std::string_view text, YamlNode& root);

}  // namespace dp::config
