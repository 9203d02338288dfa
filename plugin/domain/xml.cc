// SPDX-License-Identifier: Apache-2.0
#include "plugin/domain/xml.h"

#include <fmt/format.h>
#include <libxml/parser.h>
#include <libxml/xmlerror.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "plugin/base/excerpt.h"

// libxml2 reports what it reads (SAX2), and a tree of ours is made of it: of its own trees one
// would have to know what they do with entities and namespaces, and how they are freed. It gets no
// handler for entities and none for external subsets. The one for the internal subset, which comes
// before anything in it is read, stops the parser.
namespace dp::domain {
namespace {

absl::Status Refuse(const std::string& why) { return absl::InvalidArgumentError(why); }

std::string_view View(const xmlChar* text) {
  return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text);
}

// An attribute's value, in which libxml2 leaves each ampersand as a reference unless it expands
// entities.
std::string Value(const xmlChar* first, const xmlChar* end) {
  constexpr std::string_view kAmpersand = "&#38;";
  std::string_view rest(reinterpret_cast<const char*>(first),
                        static_cast<std::size_t>(end - first));
  std::string value;
  for (auto at = rest.find(kAmpersand); at != std::string_view::npos; at = rest.find(kAmpersand)) {
    value += rest.substr(0, at + 1);
    rest.remove_prefix(at + kAmpersand.size());
  }
  value += rest;
  return value;
}

// Makes the tree of what the parser reports, and stops it at the first thing that is wrong.
class Builder {
 public:
  explicit Builder(xmlParserCtxt& parser) : parser_(parser) {}

  void Open(const xmlChar* name, const xmlChar* uri, int namespaces, int attributes,
            const xmlChar** values) {
    parts_ += 1 + static_cast<std::size_t>(namespaces) + static_cast<std::size_t>(attributes);
    if (parts_ > kMostParts) {
      return Fail(fmt::format("has more than {} elements and attributes", kMostParts));
    }
    if (open_.size() >= kMostDepth) {
      return Fail(fmt::format("is nested more than {} deep", kMostDepth));
    }
    Element& element = open_.emplace_back();
    element.name = View(name);
    element.space = View(uri);
    element.line = line();
    for (int i = 0; i < attributes; ++i) {
      // Name, prefix, namespace, first and behind the last byte of the value.
      const xmlChar** attribute = values + std::ptrdiff_t{5} * i;
      if (attribute[2] != nullptr || attribute[1] != nullptr) continue;
      element.attributes.emplace_back(View(attribute[0]), Value(attribute[3], attribute[4]));
    }
  }

  void Close() {
    if (open_.empty()) return;
    Element element = std::move(open_.back());
    open_.pop_back();
    if (open_.empty()) {
      root_ = std::move(element);
    } else {
      open_.back().children.push_back(std::move(element));
    }
  }

  void Add(std::string_view text) {
    if (!open_.empty()) open_.back().text += text;
  }

  void Fail(const std::string& what) {
    if (failure_.empty()) failure_ = fmt::format("line {}: it {}", line(), what);
    xmlStopParser(&parser_);
  }

  void Note(const xmlError& error) {
    // A prefix without a declaration is among them: libvirt would not see what has one.
    if (!failure_.empty() || error.level < XML_ERR_ERROR) return;
    std::string_view message = error.message == nullptr ? "" : error.message;
    while (message.ends_with('\n')) message.remove_suffix(1);
    failure_ = fmt::format("line {}: it is no XML that is well-formed: {}", error.line,
                           base::Excerpt(message));
  }

  // What came of it, once the parser has ended.
  absl::StatusOr<Element> Result() {
    if (!failure_.empty()) return Refuse(failure_);
    if (parser_.wellFormed == 0 || !root_) return Refuse("it is no XML that is well-formed");
    return *std::move(root_);
  }

 private:
  [[nodiscard]] int line() const { return parser_.input == nullptr ? 0 : parser_.input->line; }

  xmlParserCtxt& parser_;
  std::vector<Element> open_;  // from the root on
  std::optional<Element> root_;
  std::size_t parts_ = 0;
  std::string failure_;  // the first; empty: none
};

Builder& BuilderOf(void* user) { return *static_cast<Builder*>(user); }

void OpenElement(void* user, const xmlChar* name, const xmlChar* /*prefix*/, const xmlChar* uri,
                 int namespaces, const xmlChar** /*declared*/, int attributes, int /*defaulted*/,
                 const xmlChar** values) {
  BuilderOf(user).Open(name, uri, namespaces, attributes, values);
}

void CloseElement(void* user, const xmlChar* /*name*/, const xmlChar* /*prefix*/,
                  const xmlChar* /*uri*/) {
  BuilderOf(user).Close();
}

void AddText(void* user, const xmlChar* text, int length) {
  BuilderOf(user).Add({reinterpret_cast<const char*>(text), static_cast<std::size_t>(length)});
}

void RefuseDocumentType(void* user, const xmlChar* /*name*/, const xmlChar* /*external*/,
                        const xmlChar* /*system*/) {
  BuilderOf(user).Fail("has a document type (DOCTYPE), which no domain needs");
}

// Instead of standard error.
void NoteError(void* user, xmlErrorPtr error) {
  if (user != nullptr && error != nullptr) BuilderOf(user).Note(*error);
}

xmlSAXHandler Handlers() {
  xmlSAXHandler handlers{};
  handlers.initialized = XML_SAX2_MAGIC;
  handlers.startElementNs = &OpenElement;
  handlers.endElementNs = &CloseElement;
  handlers.characters = &AddText;
  handlers.ignorableWhitespace = &AddText;
  handlers.cdataBlock = &AddText;
  handlers.internalSubset = &RefuseDocumentType;
  handlers.serror = &NoteError;
  return handlers;
}

// The encoding that an XML declaration at the start of the text names; empty: none.
std::string_view DeclaredEncoding(std::string_view text) {
  constexpr std::string_view kKey = "encoding";
  if (!text.starts_with("<?xml")) return "";
  const std::string_view declaration = text.substr(0, text.find("?>"));
  const auto key = declaration.find(kKey);
  if (key == std::string_view::npos) return "";
  const auto open = declaration.find_first_of("'\"", key);
  if (open == std::string_view::npos) return "";
  const std::string_view value = declaration.substr(open + 1);
  return value.substr(0, value.find(declaration[open]));
}

bool IsUtf8(std::string_view encoding) {
  constexpr std::array<std::string_view, 2> kNames{"utf-8", "us-ascii"};
  std::string lower(encoding);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(kNames.begin(), kNames.end(), lower) != kNames.end();
}

// Whether what begins with any `<` may be a tag with too many attributes. No `<` is within a tag,
// so counting starts anew with each; what is in a comment or a text is counted as if it were a tag.
bool HasLongTag(std::string_view text) {
  bool in_tag = false;
  char quote = 0;
  int attributes = 0;
  for (const char c : text) {
    if (c == '<') {
      in_tag = true;
      quote = 0;
      attributes = 0;
    } else if (!in_tag) {
      continue;
    } else if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '>') {
      in_tag = false;
    } else if (c == '=' && ++attributes > kMostAttributes) {
      return true;
    }
  }
  return false;
}

absl::Status CheckBounds(std::string_view text) {
  if (text.size() > kMostBytes) {
    return Refuse(fmt::format("it has {} bytes, more than {}", text.size(), kMostBytes));
  }
  if (text.empty()) return Refuse("it is empty");
  if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
    return Refuse(fmt::format("it has a zero byte, at {}", zero));
  }
  if (const std::string_view encoding = DeclaredEncoding(text);
      !encoding.empty() && !IsUtf8(encoding)) {
    return Refuse(
        fmt::format("line 1: its encoding is {}, and not UTF-8", base::Excerpt(encoding)));
  }
  if (HasLongTag(text)) {
    return Refuse(fmt::format("it has a tag with more than {} attributes", kMostAttributes));
  }
  return absl::OkStatus();
}

}  // namespace

const std::string* Element::Find(std::string_view attribute) const {
  const auto found =
      std::find_if(attributes.begin(), attributes.end(),
                   [attribute](const auto& candidate) { return candidate.first == attribute; });
  return found == attributes.end() ? nullptr : &found->second;
}

absl::StatusOr<Element> ParseXml(std::string_view text) {
  // Once, before any thread parses.
  static const bool kReady = [] {
    xmlInitParser();
    return true;
  }();
  if (!kReady) return absl::InternalError("libxml2 is not there");
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (absl::Status status = CheckBounds(text); !status.ok()) return status;

  const auto free = [](xmlParserCtxt* parser) { xmlFreeParserCtxt(parser); };
  const std::unique_ptr<xmlParserCtxt, decltype(free)> parser(xmlNewParserCtxt(), free);
  if (!parser) return absl::ResourceExhaustedError("no memory for a parser of XML");
  Builder builder(*parser);
  // What libxml2 has to say without a parser would go to standard error. It is each thread's own.
  xmlSetStructuredErrorFunc(nullptr, &NoteError);
  *parser->sax = Handlers();
  parser->userData = &builder;
  // The encoding is given, so that none is guessed and none of those taken that the C library has.
  constexpr int kOptions = XML_PARSE_NONET | XML_PARSE_NOCDATA | XML_PARSE_IGNORE_ENC;
  xmlCtxtReadMemory(parser.get(), text.data(), static_cast<int>(text.size()), nullptr, "UTF-8",
                    kOptions);
  return builder.Result();
}

}  // namespace dp::domain
