// SPDX-License-Identifier: Apache-2.0
#include "plugin/domain/xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dp::domain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::string MessageOf(std::string_view xml) {
  const auto root = ParseXml(xml);
  EXPECT_TRUE(absl::IsInvalidArgument(root.status())) << root.status();
  return std::string(root.status().message());
}

std::string Repeat(std::string_view text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

TEST(XmlTest, ReadsATree) {
  const auto root = ParseXml(
      "<?xml version='1.0' encoding='utf-8'?>\r\n<!-- a --><a xmlns:q='urn:q' x='1' q:y='2'>\r\n"
      "  t<!-- u -->v<b/><q:b z='3'>w<![CDATA[<x>]]></q:b></a>\n<?end?>");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->name, "a");
  EXPECT_EQ(root->space, "");
  EXPECT_EQ(root->line, 2);
  EXPECT_THAT(root->attributes, ElementsAre(Pair("x", "1")));
  EXPECT_EQ(root->text, "\n  tv");
  ASSERT_EQ(root->children.size(), 2U);
  EXPECT_EQ(root->children[0].name, "b");
  EXPECT_EQ(root->children[0].space, "");
  EXPECT_EQ(root->children[1].space, "urn:q");
  EXPECT_EQ(root->children[1].line, 3);
  EXPECT_EQ(root->children[1].text, "w<x>");
  ASSERT_NE(root->children[1].Find("z"), nullptr);
  EXPECT_EQ(*root->children[1].Find("z"), "3");
  EXPECT_EQ(root->children[1].Find("y"), nullptr);
}

TEST(XmlTest, KnowsTheFiveEntitiesAndNumbers) {
  const auto root = ParseXml(
      "<a x='&lt;&gt;&amp;&quot;&apos;&#38;&#x26;&amp;#38;&#65;'>"
      "&lt;&gt;&amp;&quot;&apos;&#38;&#x26;&amp;#38;&#65;</a>");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(*root->Find("x"), "<>&\"'&&&#38;A");
  EXPECT_EQ(root->text, "<>&\"'&&&#38;A");
}

TEST(XmlTest, TakesAByteOrderMark) {
  EXPECT_EQ(ParseXml("\xef\xbb\xbf<?xml version='1.0' encoding=\"UTF-8\"?><a/>")->name, "a");
}

TEST(XmlTest, RefusesADocumentType) {
  for (const char* xml : {
           "<!DOCTYPE a><a/>",
           "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
           "<!DOCTYPE a PUBLIC 'x' 'http://127.0.0.1/x.dtd'><a/>",
           "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
           "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
           "<!DOCTYPE a [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]><a/>",
           "<!DOCTYPE a [<!ENTITY b '&c;&c;'><!ENTITY c '&b;&b;'>]><a>&b;</a>",
           "<!DOCTYPE a [<!ATTLIST a x CDATA 'y'>]><a/>",
           "<!DOCTYPE",
       }) {
    EXPECT_THAT(MessageOf(xml), HasSubstr("line 1: it ")) << xml;
  }
  EXPECT_EQ(MessageOf("<?xml version='1.0'?>\n<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"),
            "line 2: it has a document type (DOCTYPE), which no domain needs");
}

TEST(XmlTest, RefusesOtherEntities) {
  EXPECT_THAT(MessageOf("<a>\n&b;</a>"), HasSubstr("line 2: it is no XML that is well-formed: "));
  EXPECT_THAT(MessageOf("<a x='&b;'/>"), HasSubstr("line 1: it is no XML"));
}

TEST(XmlTest, SaysWhereItIsNotWellFormed) {
  EXPECT_EQ(
      MessageOf("<a>\n<b></a>"),
      "line 2: it is no XML that is well-formed: Opening and ending tag mismatch: b line ...");
  EXPECT_EQ(MessageOf(""), "it is empty");
  for (const char* xml : {" ",
                          "<",
                          "<a",
                          "<a>",
                          "</a>",
                          "<a/><b/>",
                          "a",
                          "<a/>a",
                          "<a x=1/>",
                          "<a x='1' x='2'/>",
                          "<a x='<'/>",
                          "<a>\xff</a>",
                          "<a>\x01</a>",
                          "<q:a/>",
                          "<a q:x=''/>",
                          "<a>]]></a>",
                          "<a><!-- -- --></a>",
                          "<a>&#0;</a>",
                          "<a>&#xd800;</a>",
                          "<a x='\xc3'/>"}) {
    EXPECT_FALSE(MessageOf(xml).empty()) << xml;
  }
}

TEST(XmlTest, RefusesAZeroByte) {
  EXPECT_EQ(MessageOf(std::string_view("<a/>\0<b/>", 9)), "it has a zero byte, at 4");
}

TEST(XmlTest, RefusesOtherEncodings) {
  EXPECT_EQ(MessageOf("<?xml version='1.0' encoding='UTF-16'?><a/>"),
            "line 1: its encoding is UTF-16, and not UTF-8");
  EXPECT_EQ(MessageOf("<?xml version=\"1.0\" encoding = \"UTF-7\"?><a/>"),
            "line 1: its encoding is UTF-7, and not UTF-8");
  EXPECT_FALSE(MessageOf(std::string_view("\xff\xfe<\0a\0/\0>\0", 10)).empty());
}

TEST(XmlTest, HasBounds) {
  EXPECT_TRUE(ParseXml(Repeat("<a>", kMostDepth) + Repeat("</a>", kMostDepth)).ok());
  EXPECT_EQ(MessageOf("\n" + Repeat("<a>", kMostDepth + 1)),
            "line 2: it is nested more than 64 deep");
  EXPECT_EQ(MessageOf(Repeat("<a>", 1000000)), "line 1: it is nested more than 64 deep");

  const int children = static_cast<int>(kMostParts) - 1;
  EXPECT_TRUE(ParseXml("<a>" + Repeat("<b/>", children) + "</a>").ok());
  EXPECT_EQ(MessageOf("<a>" + Repeat("<b/>", children + 1) + "</a>"),
            "line 1: it has more than 50000 elements and attributes");

  std::string attributes;
  for (int i = 0; i < kMostAttributes; ++i) attributes += " x" + std::to_string(i) + "='=>='";
  EXPECT_TRUE(ParseXml("<a" + attributes + "/>").ok());
  EXPECT_EQ(MessageOf("<a" + attributes + " y=''/>"), "it has a tag with more than 64 attributes");
  EXPECT_TRUE(ParseXml("<a><!-- it's -->" + Repeat("x='1'", 100) + "</a>").ok());

  EXPECT_TRUE(ParseXml("<a>" + std::string(kMostBytes - 7, ' ') + "</a>").ok());
  EXPECT_EQ(MessageOf("<a>" + std::string(kMostBytes - 6, ' ') + "</a>"),
            "it has 4194305 bytes, more than 4194304");
}

TEST(XmlTest, SaysNothingToStandardError) {
  testing::internal::CaptureStderr();
  for (const char* xml : {"<a>", "<!DOCTYPE a SYSTEM 'http://127.0.0.1/x'><a/>", "<a>\xff</a>",
                          "<q:a xmlns:q='not a uri'/>", "<a>&b;</a>"}) {
    ParseXml(xml).IgnoreError();
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace dp::domain
