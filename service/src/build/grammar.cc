#include "build/grammar.h"

#include <cstddef>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace containerbuilder::service {
namespace {

// White space by Go's unicode.IsSpace, in UTF-8.
constexpr absl::string_view kUnicodeBlanks[] = {
    "\t",           "\n",           "\v",
    "\f",           "\r",           " ",
    "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80",
    "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82",
    "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85",
    "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88",
    "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
    "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f",
    "\xe3\x80\x80"};

bool MatchesPattern(absl::string_view text, absl::string_view pattern) {
  const std::vector<absl::string_view> parts = absl::StrSplit(pattern, '*');
  if (parts.size() == 1) return text == pattern;
  if (!absl::ConsumePrefix(&text, parts.front())) return false;
  for (std::size_t i = 1; i + 1 < parts.size(); ++i) {
    const std::size_t at = text.find(parts[i]);
    if (at == absl::string_view::npos) return false;
    text.remove_prefix(at + parts[i].size());
  }
  return absl::EndsWith(text, parts.back());
}

}  // namespace

std::string FlagName(absl::string_view option) {
  return absl::StrReplaceAll(option, {{"_", "-"}});
}

bool MatchesAny(absl::string_view text,
                const std::vector<std::string>& patterns) {
  return absl::c_any_of(patterns, [&](const std::string& pattern) {
    return MatchesPattern(text, pattern);
  });
}

bool HasControl(absl::string_view text) {
  return absl::c_any_of(text, absl::ascii_iscntrl);
}

void SkipUnicodeBlanks(absl::string_view& text) {
  while (absl::c_any_of(kUnicodeBlanks, [&](absl::string_view blank) {
    return absl::ConsumePrefix(&text, blank);
  })) {
  }
}

bool HasOuterBlanks(absl::string_view text) {
  return absl::c_any_of(kUnicodeBlanks, [&](absl::string_view blank) {
    return absl::StartsWith(text, blank) || absl::EndsWith(text, blank);
  });
}

bool IsName(absl::string_view text, absl::string_view besides) {
  return !text.empty() && absl::c_all_of(text, [&](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains(besides, c);
  });
}

bool IsPlatform(absl::string_view platform) {
  const std::vector<absl::string_view> parts = absl::StrSplit(platform, '/');
  return parts.size() <= 3 && absl::c_all_of(parts, [](absl::string_view part) {
           return IsName(part, "_-.") && absl::ascii_isalnum(part[0]);
         });
}

bool IsFalse(absl::string_view value) {
  return value == "0" || value == "f" || value == "F" || value == "false" ||
         value == "False" || value == "FALSE";
}

}  // namespace containerbuilder::service
