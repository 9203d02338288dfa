// SPDX-License-Identifier: Apache-2.0
#include "plugin/guest/quantity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "absl/numeric/int128.h"
#include "plugin/base/excerpt.h"
#include "plugin/base/parse.h"

namespace dp::guest {
namespace {

constexpr std::uint64_t kMost = (std::uint64_t{1} << 63) - 1;
// As long as a number can be without a thought of the reader; Kubernetes has no more digits left
// either.
constexpr std::size_t kMostCharacters = 64;
// So many digits and the largest suffix fit into 128 bits.
constexpr std::size_t kMostDigits = 19;

// A suffix is a power of two or of ten.
struct Scale {
  int bits = 0;
  int digits = 0;
};

struct Suffix {
  std::string_view text;
  Scale scale;
};
constexpr std::array kSuffixes = {
    Suffix{"n", {.digits = -9}}, Suffix{"u", {.digits = -6}},
    Suffix{"m", {.digits = -3}}, Suffix{"", {}},
    Suffix{"k", {.digits = 3}},  Suffix{"M", {.digits = 6}},
    Suffix{"G", {.digits = 9}},  Suffix{"T", {.digits = 12}},
    Suffix{"P", {.digits = 15}}, Suffix{"E", {.digits = 18}},
    Suffix{"Ki", {.bits = 10}},  Suffix{"Mi", {.bits = 20}},
    Suffix{"Gi", {.bits = 30}},  Suffix{"Ti", {.bits = 40}},
    Suffix{"Pi", {.bits = 50}},  Suffix{"Ei", {.bits = 60}},
};

std::optional<Scale> ParseSuffix(std::string_view text) {
  for (const Suffix& suffix : kSuffixes) {
    if (suffix.text == text) return suffix.scale;
  }
  if (!text.starts_with('e') && !text.starts_with('E')) return std::nullopt;
  text.remove_prefix(1);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const auto exponent = base::ParseDigits(text, 10, 999);
  if (!exponent) return std::nullopt;
  const int digits = static_cast<int>(*exponent);
  return Scale{.digits = negative ? -digits : digits};
}

// digits * 10^exponent * 2^bits, rounded up; nullopt: more than kMost.
std::optional<std::uint64_t> Evaluate(std::string digits, int exponent, int bits) {
  bool more = false;  // something was cut off
  while (digits.size() > kMostDigits && exponent < 0) {
    more = more || digits.back() != '0';
    digits.pop_back();
    ++exponent;
  }
  if (digits.size() > kMostDigits) return std::nullopt;
  absl::uint128 value = *base::ParseDigits(digits, 10, ~std::uint64_t{0});
  if (value == 0) return more ? 1 : 0;
  value <<= bits;
  for (; exponent > 0; --exponent) {
    value *= 10;
    if (value > kMost) return std::nullopt;
  }
  for (; exponent < 0 && value > 0; ++exponent) {
    more = more || value % 10 != 0;
    value /= 10;
  }
  if (more) ++value;
  if (value > kMost) return std::nullopt;
  return absl::Uint128Low64(value);
}

}  // namespace

absl::StatusOr<std::uint64_t> ParseQuantity(std::string_view text) {
  const auto refuse = [text](std::string_view why) {
    return absl::InvalidArgumentError(fmt::format("\"{}\" is {}", base::Excerpt(text), why));
  };
  if (text.size() > kMostCharacters) return refuse("too long for a quantity of bytes");
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  std::string digits;
  int fraction = 0;
  bool behind_point = false;
  for (; !rest.empty(); rest.remove_prefix(1)) {
    const char c = rest.front();
    if (c >= '0' && c <= '9') {
      digits += c;
      if (behind_point) ++fraction;
    } else if (c == '.' && !behind_point) {
      behind_point = true;
    } else {
      break;
    }
  }
  const std::optional<Scale> scale = ParseSuffix(rest);
  if (digits.empty() || !scale) return refuse("no quantity of bytes such as 2Gi or 1500M");
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
  if (digits == "0" || negative) return refuse("no quantity above 0");

  const auto value = Evaluate(std::move(digits), scale->digits - fraction, scale->bits);
  if (!value) {
    return absl::OutOfRangeError(fmt::format("\"{}\" is more than 2^63 - 1 bytes", text));
  }
  return *value;
}

}  // namespace dp::guest
