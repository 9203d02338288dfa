// SPDX-License-Identifier: Apache-2.0
#include "plugin/kube/failure.h"

#include <gtest/gtest.h>

#include "plugin/kube/http_error.h"

namespace dp::kube {
namespace {

std::string_view NameOfHttp(int code, std::string_view body = "{}") {
  return NameOf(FailureOf(HttpError(code, body)));
}

TEST(FailureTest, SaysWhatAnAnswerMeans) {
  EXPECT_EQ(NameOfHttp(401), "forbidden");
  EXPECT_EQ(NameOfHttp(403), "forbidden");
  EXPECT_EQ(NameOfHttp(429), "unreachable");
  EXPECT_EQ(NameOfHttp(503), "unreachable");
  EXPECT_EQ(NameOfHttp(422), "refused");
  EXPECT_EQ(NameOfHttp(409, R"({"reason": "Conflict"})"), "conflict");
  EXPECT_EQ(NameOfHttp(409, R"({"reason": "AlreadyExists"})"), "conflict");
  EXPECT_EQ(NameOfHttp(404), "absent");
  EXPECT_EQ(NameOfHttp(400), "broken");
  EXPECT_EQ(NameOfHttp(418), "broken");
}

TEST(FailureTest, KnowsWhatNoServerSays) {
  EXPECT_EQ(FailureOf(absl::OkStatus()), Failure::kNone);
  EXPECT_EQ(NameOf(Failure::kNone), "");
  EXPECT_EQ(FailureOf(absl::CancelledError("this program ends")), Failure::kUnreachable);
  EXPECT_EQ(FailureOf(absl::DataLossError("no JSON")), Failure::kBroken);
}

}  // namespace
}  // namespace dp::kube
