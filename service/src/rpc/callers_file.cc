#include "rpc/callers_file.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace containerbuilder::service {
namespace {

std::optional<Role> ParseRole(absl::string_view text) {
  if (text == "viewer") return Role::kViewer;
  if (text == "builder") return Role::kBuilder;
  if (text == "admin") return Role::kAdmin;
  return std::nullopt;
}

// A token's name can be taken neither for a certificate's, which has a colon,
// nor for those that the service gives itself.
bool IsTokenName(absl::string_view name) {
  return !name.empty() && name.size() <= 64 && name != "local" &&
         name != "anonymous" &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

bool IsHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
}

}  // namespace

absl::StatusOr<CallersFile> CallersFile::Parse(absl::string_view text) {
  CallersFile callers;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const auto wrong = [number](absl::string_view what) {
      // Not the line itself, which may hold a token by mistake.
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, ": ", what));
    };
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty() || absl::StartsWith(words[0], "#")) continue;
    if (words.size() != 3) {
      return wrong("write ROLE NAME sha256:HEX or ROLE NAME certificate");
    }
    const std::optional<Role> role = ParseRole(words[0]);
    if (!role) return wrong("the role is viewer, builder or admin");
    const std::string name(words[1]);
    absl::string_view secret = words[2];
    if (secret == "certificate") {
      if (!absl::StrContains(name, ':')) {
        return wrong(
            "a certificate's name is dns:NAME, uri:NAME, email:NAME "
            "or cn:NAME");
      }
      if (!callers.certificates_.emplace(name, *role).second) {
        return wrong("the certificate has a line already");
      }
      continue;
    }
    if (!IsTokenName(name)) {
      return wrong(
          "a token's name has up to 64 of a-z, A-Z, 0-9, -, _ and ., "
          "and is neither \"local\" nor \"anonymous\"");
    }
    Token token = {{}, name, *role};
    if (!absl::ConsumePrefix(&secret, "sha256:") ||
        secret.size() != 2 * token.sha256.size() || !IsHex(secret)) {
      return wrong(
          "a token is written as sha256: and 64 hexadecimal digits, "
          "what sha256sum prints for it");
    }
    const std::string digest = absl::HexStringToBytes(secret);
    std::copy(digest.begin(), digest.end(), token.sha256.begin());
    for (const Token& other : callers.tokens_) {
      if (other.sha256 == token.sha256) {
        return wrong("the token has a line already");
      }
    }
    callers.tokens_.push_back(std::move(token));
  }
  return callers;
}

std::optional<Caller> CallersFile::FindToken(absl::string_view token) const {
  Digest sha256 = {};
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
         sha256.data());
  const Token* found = nullptr;
  for (const Token& known : tokens_) {
    if (CRYPTO_memcmp(known.sha256.data(), sha256.data(), sha256.size()) == 0) {
      found = &known;
    }
  }
  if (found == nullptr) return std::nullopt;
  return Caller{found->name, /*trusted=*/false, found->role};
}

std::optional<Role> CallersFile::FindCertificate(absl::string_view name) const {
  const auto found = certificates_.find(name);
  if (found == certificates_.end()) return std::nullopt;
  return found->second;
}

}  // namespace containerbuilder::service
