// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

// XML from outside, within bounds. The only place that knows libxml2.
namespace dp::domain {

// What is more than that is refused. A domain of KubeVirt has 20 KiB, 300 elements and is 6 deep.
inline constexpr std::size_t kMostBytes = std::size_t{4} << 20;
inline constexpr std::size_t kMostParts = 50000;  // elements and attributes
inline constexpr int kMostDepth = 64;
// Of one tag: libxml2 compares each attribute with each other.
inline constexpr int kMostAttributes = 64;

// An element as it is in a document, without the comments and instructions in it.
struct Element {
  std::string name;                                             // without its prefix
  std::string space;                                            // URI of its namespace; empty: none
  int line = 0;                                                 // where its tag ends, from 1 on
  std::vector<std::pair<std::string, std::string>> attributes;  // those of no namespace
  std::string text;                                             // its own, not its children's
  std::vector<Element> children;

  // nullptr: it has no such attribute.
  [[nodiscard]] const std::string* Find(std::string_view attribute) const;
};

// The root of a document (XML 1.0) in UTF-8. Nothing is fetched and nothing expanded: a document
// type is refused, so there are no entities but the five that XML has. InvalidArgument: no such
// document, or beyond a bound; one sentence in one line of ASCII, with the line.
absl::StatusOr<Element> ParseXml(std::string_view text);

}  // namespace dp::domain
