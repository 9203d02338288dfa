// SPDX-License-Identifier: Apache-2.0
#include "plugin/kube/http_error.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace dp::kube {
namespace {

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

TEST(HttpErrorTest, TakesTheWordsOfTheServer) {
  const absl::Status status = HttpError(
      403, R"({"kind":"Status","reason":"Forbidden","message":"kubevirts is forbidden"})");
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  EXPECT_EQ(MessageOf(status), "403: kubevirts is forbidden");
}

TEST(HttpErrorTest, TellsAConflictFromAnObjectThatIsThere) {
  EXPECT_TRUE(absl::IsAborted(HttpError(409, R"({"reason":"Conflict"})")));
  EXPECT_TRUE(absl::IsAlreadyExists(HttpError(409, R"({"reason":"AlreadyExists"})")));
}

TEST(HttpErrorTest, MapsTheOtherCodes) {
  EXPECT_TRUE(absl::IsInvalidArgument(HttpError(400, "")));
  EXPECT_TRUE(absl::IsUnauthenticated(HttpError(401, "")));
  EXPECT_TRUE(absl::IsNotFound(HttpError(404, "404 page not found\n")));
  EXPECT_TRUE(absl::IsNotFound(HttpError(410, "")));
  EXPECT_TRUE(absl::IsFailedPrecondition(HttpError(422, "")));
  EXPECT_TRUE(absl::IsUnavailable(HttpError(429, "")));
  EXPECT_TRUE(absl::IsUnavailable(HttpError(500, "")));
  EXPECT_TRUE(absl::IsUnavailable(HttpError(503, "")));
  EXPECT_TRUE(absl::IsUnknown(HttpError(302, "")));
}

TEST(HttpErrorTest, KeepsHowLongTheServerWantsToBeLeftAlone) {
  EXPECT_EQ(RetryAfter(HttpError(429, "", "30")), std::chrono::seconds(30));
  EXPECT_EQ(RetryAfter(HttpError(429, "", "4294967295")), std::chrono::hours(24));
  for (const char* none : {"", "-1", "soon", "Thu, 26 Nov 2026 12:00:00 GMT", "99999999999"}) {
    EXPECT_EQ(RetryAfter(HttpError(503, "", none)), std::chrono::seconds(0)) << none;
  }
  EXPECT_EQ(RetryAfter(absl::OkStatus()), std::chrono::seconds(0));
}

TEST(HttpErrorTest, IsOneShortLineWhateverComes) {
  const absl::Status status = HttpError(500, "<html>\n\x01\xff" + std::string(5000, 'x'));
  EXPECT_LT(status.message().size(), 500U);
  EXPECT_EQ(MessageOf(status).find('\n'), std::string::npos);
  EXPECT_EQ(MessageOf(HttpError(500, "")), "500: without a reason");
  EXPECT_EQ(MessageOf(HttpError(500, R"({"message":7,"reason":"InternalError"})")),
            "500: InternalError");
}

}  // namespace
}  // namespace dp::kube
