// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// YAML from outside, within bounds. The only folder that knows yaml-cpp.
namespace dp::yaml {

// A YAML document as a tree of plain values. Scalars keep the text that stands in the file: YAML's
// own guesses (0010 is eight, 1e10 is a number, "no" is false) are what a configuration of
// hexadecimal IDs must not suffer. JSON is read as well, being YAML: all but halves of a surrogate
// pair in an escape.
//
// Only what is needed: one document, mappings with distinct plain keys, lists, scalars.
// Anchors, aliases and tags are refused: with aliases a few lines can stand for a billion values.
struct Element {
  enum class Kind { kNull, kScalar, kList, kMapping };
  struct Entry;

  Kind kind = Kind::kNull;
  int line = 0;      // 1-based
  std::string text;  // of a scalar
  std::vector<Element> items;
  std::vector<Entry> entries;

  // Of a mapping: the value of `key`, null if there is none.
  [[nodiscard]] const Element* Find(std::string_view key) const;
};

struct Element::Entry {
  std::string key;
  int line = 0;
  Element value;
};

// What is wrong, and where: `reason` is a clause, for example "is not YAML: end of map not found".
struct Error {
  int line = 0;
  std::string path;  // "resources[0].name"; empty: the document as a whole
  std::string reason;
};

// Reads the only document of `text` into `root` (kNull if there is none), which may be nested
// `depth` levels deep. Returns the first thing that was wrong, if any.
std::optional<Error> Parse(std::string_view text, std::size_t depth, Element& root);

}  // namespace dp::yaml
