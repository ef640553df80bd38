#include "build/command_line.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/utf8.h"
#include "build/csv.h"

namespace containerbuilder::service {
namespace {

constexpr absl::string_view kMask = "***";
constexpr absl::string_view kSchemeEnd = "://";
// Of a variable, whose value may be a URL without a scheme.
constexpr absl::string_view kProxyKeyEnd = "_proxy=";
constexpr absl::string_view kSecretKeys[] = {
    "token", "secret_access_key", "access_key_id", "session_token", "password"};

// `field` up to its `=`, with that; empty where the field holds no secret.
absl::string_view SecretKey(absl::string_view field) {
  const std::size_t equals = field.find('=');
  if (equals == absl::string_view::npos) return "";
  absl::string_view key = field.substr(0, equals);
  key = absl::StripPrefix(key, "\"");
  const bool secret = absl::c_linear_search(
      kSecretKeys, LowerKey(absl::StripAsciiWhitespace(key)));
  return field.substr(0, secret ? equals + 1 : 0);
}

// Where a record does not parse: everything after the first secret's key.
std::string MaskRest(absl::string_view record) {
  const std::string lower = absl::AsciiStrToLower(record);
  std::size_t begin = record.size();
  for (const absl::string_view key : kSecretKeys) {
    const std::size_t at = lower.find(absl::StrCat(key, "="));
    if (at != std::string::npos) begin = std::min(begin, at + key.size() + 1);
  }
  if (begin == record.size()) return std::string(record);
  return absl::StrCat(record.substr(0, begin), kMask);
}

std::string MaskAttributes(absl::string_view record) {
  const auto fields = ReadCsv(record);
  if (!fields) return MaskRest(record);
  const absl::string_view last = fields->back().raw;
  const absl::string_view newline = record.substr(
      static_cast<std::size_t>(last.data() + last.size() - record.data()));
  std::vector<std::string> shown;
  bool in_secret = false;
  for (const CsvField& field : *fields) {
    // What follows a secret and is no attribute is the rest of a secret that
    // has a comma in it and was not quoted.
    if (in_secret && !absl::StrContains(field.raw, '=')) continue;
    const absl::string_view key = SecretKey(field.raw);
    in_secret = !key.empty();
    shown.push_back(in_secret
                        ? absl::StrCat(key, kMask, key[0] == '"' ? "\"" : "")
                        : std::string(field.raw));
  }
  return absl::StrCat(absl::StrJoin(shown, ","), newline);
}

// Where the `@` is that ends the userinfo, in `url` from behind its scheme on,
// up to the next URL alone: that keeps the time linear.
std::size_t EndOfUserinfo(absl::string_view url) {
  absl::string_view authority =
      url.substr(0, url.find_first_of("/?# \t\r\n\""));
  const std::size_t colon = authority.rfind(':');
  // What no port can be is a password with a `/` in it.
  if (colon != absl::string_view::npos &&
      !absl::c_all_of(authority.substr(colon + 1), absl::ascii_isdigit)) {
    authority = url.substr(0, url.find_first_of(" \t\r\n\""));
  }
  return authority.rfind('@');
}

std::string MaskUserinfo(absl::string_view text) {
  const std::string lower_text = absl::AsciiStrToLower(text);
  const absl::string_view lower = lower_text;
  std::size_t scheme = lower.find(kSchemeEnd);
  std::size_t proxy = lower.find(kProxyKeyEnd);
  std::size_t from = 0;
  std::string shown;
  while (scheme != absl::string_view::npos ||
         proxy != absl::string_view::npos) {
    const bool has_scheme = scheme < proxy;
    const std::size_t begin =
        has_scheme ? scheme + kSchemeEnd.size() : proxy + kProxyKeyEnd.size();
    if (has_scheme) {
      scheme = lower.find(kSchemeEnd, begin);
    } else {
      proxy = lower.find(kProxyKeyEnd, begin);
    }
    absl::StrAppend(&shown, text.substr(from, begin - from));
    from = begin;
    const std::size_t end = has_scheme ? scheme : std::min(scheme, proxy);
    const std::size_t at = EndOfUserinfo(text.substr(begin, end - begin));
    if (at == absl::string_view::npos) continue;
    absl::StrAppend(&shown, kMask);
    from += at;
    if (proxy < from) proxy = lower.find(kProxyKeyEnd, from);
  }
  return absl::StrCat(shown, text.substr(from));
}

std::string ShellQuoted(absl::string_view word) {
  const bool plain = !word.empty() && absl::c_all_of(word, [](const char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("_@%+=:,./-", c);
  });
  if (plain) return std::string(word);
  return absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

}  // namespace

std::string MaskSecrets(absl::string_view argument) {
  // What one rule takes away may be what kept the other from finding more.
  constexpr int kMaxRounds = 4;
  std::string shown(argument);
  for (int round = 0; round < kMaxRounds; ++round) {
    std::string masked = MaskUserinfo(MaskAttributes(shown));
    if (masked == shown) return shown;
    shown = std::move(masked);
  }
  return std::string(kMask);
}

std::string Shortened(absl::string_view text) {
  constexpr std::size_t kMost = 128;
  if (text.size() <= kMost) return std::string(text);
  return absl::StrCat(ToUtf8(text.substr(0, kMost)), "...");
}

std::string CommandLine(absl::Span<const std::string> argv) {
  return absl::StrJoin(argv, " ", [](std::string* line, absl::string_view arg) {
    absl::StrAppend(line, ShellQuoted(MaskSecrets(arg)));
  });
}

}  // namespace containerbuilder::service
