// SPDX-License-Identifier: Apache-2.0
#include "plugin/yaml/document.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <istream>
#include <streambuf>
#include <unordered_set>
#include <utility>

// The only file that knows yaml-cpp, and where its exceptions end.
//
// It listens to the parser's events and does not take yaml-cpp's node tree, for what the tree
// forgets: it keeps duplicate keys silently, resolves aliases (a few of which nested make a tree
// that is never walked to its end) and is built before anyone can object. Here each of those ends
// the parse where it stands. yaml-cpp itself refuses more than 500 levels of nesting.
namespace dp::yaml {
namespace {

// Thrown through yaml-cpp, which has no other way to stop; caught below.
struct Refusal {
  Error error;
};

class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(std::size_t depth, Element& root) : depth_(depth), root_(root) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) Refuse(mark, "begins a second document");
  }
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark& mark, const std::string& /*name*/) override {
    Refuse(mark, "has an anchor, which is not supported");
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    Refuse(mark, "is an alias, which is not supported");
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    Add(mark, MakeNode(mark, Element::Kind::kNull));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                const std::string& value) override {
    RefuseTag(mark, tag);
    Element node = MakeNode(mark, Element::Kind::kScalar);
    node.text = value;
    Add(mark, std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                       YAML::EmitterStyle::value /*style*/) override {
    Begin(mark, tag, Element::Kind::kList);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value /*style*/) override {
    Begin(mark, tag, Element::Kind::kMapping);
  }
  void OnSequenceEnd() override { End(); }
  void OnMapEnd() override { End(); }

 private:
  // A list or mapping that has begun and not ended.
  struct Level {
    YAML::Mark mark;
    Element node;
    std::unordered_set<std::string> keys;
    bool awaits_value = false;  // of a mapping: its last entry has a key and no value yet
  };

  static Element MakeNode(const YAML::Mark& mark, Element::Kind kind) {
    Element node;
    node.kind = kind;
    node.line = mark.line + 1;
    return node;
  }

  void Begin(const YAML::Mark& mark, const std::string& tag, Element::Kind kind) {
    RefuseTag(mark, tag);
    if (AwaitsKey()) Refuse(mark, "has a key that is not plain text");
    if (levels_.size() >= depth_) {
      Refuse(mark, fmt::format("is nested more than {} levels deep", depth_));
    }
    levels_.push_back(
        {.mark = mark, .node = MakeNode(mark, kind), .keys = {}, .awaits_value = false});
  }

  void End() {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    Add(level.mark, std::move(level.node));
  }

  // Puts a complete value, or a key, where the parser is.
  void Add(const YAML::Mark& mark, Element node) {
    if (levels_.empty()) {
      root_ = std::move(node);
    } else if (AwaitsKey()) {
      AddKey(mark, std::move(node));
    } else if (Level& level = levels_.back(); level.node.kind == Element::Kind::kList) {
      level.node.items.push_back(std::move(node));
    } else {
      Element::Entry& entry = level.node.entries.back();
      // What is not there has the place of its key; the parser notices only at whatever comes next.
      if (node.kind == Element::Kind::kNull) node.line = entry.line;
      entry.value = std::move(node);
      level.awaits_value = false;
    }
  }

  void AddKey(const YAML::Mark& mark, Element node) {
    if (node.kind != Element::Kind::kScalar) Refuse(mark, "has a key that is not plain text");
    Level& level = levels_.back();
    const bool is_new = level.keys.insert(node.text).second;
    level.node.entries.push_back({.key = std::move(node.text), .line = mark.line + 1, .value = {}});
    level.awaits_value = true;
    if (!is_new) Refuse(mark, "is given twice");
  }

  [[nodiscard]] bool AwaitsKey() const {
    return !levels_.empty() && levels_.back().node.kind == Element::Kind::kMapping &&
           !levels_.back().awaits_value;
  }

  // "?" and "!" are what yaml-cpp calls a plain and a quoted scalar without a tag.
  void RefuseTag(const YAML::Mark& mark, const std::string& tag) const {
    if (!tag.empty() && tag != "?" && tag != "!") Refuse(mark, "has a tag, which is not supported");
  }

  [[noreturn]] void Refuse(const YAML::Mark& mark, std::string reason) const {
    throw Refusal{{.line = mark.line + 1, .path = Path(), .reason = std::move(reason)}};
  }

  // Of the value that the parser is at.
  [[nodiscard]] std::string Path() const {
    std::string path;
    for (const Level& level : levels_) {
      if (level.node.kind == Element::Kind::kList) {
        path += fmt::format("[{}]", level.node.items.size());
      } else if (level.awaits_value) {
        if (!path.empty()) path += '.';
        path += level.node.entries.back().key;
      }
    }
    return path;
  }

  const std::size_t depth_;
  Element& root_;
  std::vector<Level> levels_;
  int documents_ = 0;
};

// Lets yaml-cpp, which wants a stream, read the text where it is.
class TextBuffer final : public std::streambuf {
 public:
  explicit TextBuffer(std::string_view text) {
    char* const begin = const_cast<char*>(text.data());  // never written: there is no overflow()
    setg(begin, begin, begin + text.size());
  }
};

}  // namespace

const Element* Element::Find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

std::optional<Error> Parse(std::string_view text, std::size_t depth, Element& root) {
  TextBuffer buffer(text);
  std::istream stream(&buffer);
  TreeBuilder builder(depth, root);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    return std::nullopt;
  } catch (const Refusal& refusal) {
    return refusal.error;
  } catch (const YAML::Exception& exception) {
    return Error{.line = exception.mark.line + 1,
                 .path = "",
                 .reason = fmt::format("is not YAML: {}", exception.msg)};
  }
}

}  // namespace dp::yaml
