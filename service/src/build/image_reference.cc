#include "build/image_reference.h"

#include <cstddef>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace containerbuilder::service {
namespace {

constexpr absl::string_view kDockerHub = "docker.io";
constexpr std::size_t kMaxNameBytes = 255;

bool IsLowerAlnum(char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c);
}

bool IsLowerHex(absl::string_view text) {
  return absl::c_all_of(text, [](char c) {
    return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
  });
}

// Letters and digits, with dashes between them.
bool IsDomainPart(absl::string_view part) {
  return !part.empty() && part.front() != '-' && part.back() != '-' &&
         absl::c_all_of(
             part, [](char c) { return absl::ascii_isalnum(c) || c == '-'; });
}

// `[2001:db8::1]`.
bool IsIpv6(absl::string_view host) {
  return absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]") &&
         !host.empty() && absl::c_all_of(host, [](char c) {
           return absl::ascii_isxdigit(c) || c == ':';
         });
}

bool IsHost(absl::string_view host) {
  const std::size_t colon = host.rfind(':');
  if (colon != absl::string_view::npos && !absl::EndsWith(host, "]")) {
    const absl::string_view port = host.substr(colon + 1);
    if (port.empty() || !absl::c_all_of(port, absl::ascii_isdigit)) {
      return false;
    }
    host = host.substr(0, colon);
  }
  return IsIpv6(host) ||
         absl::c_all_of(absl::StrSplit(host, '.'), IsDomainPart);
}

// Lower-case letters and digits, with a `.`, `_`, `__` or dashes between them.
bool IsPathPart(absl::string_view part) {
  if (part.empty() || !IsLowerAlnum(part.front()) ||
      !IsLowerAlnum(part.back())) {
    return false;
  }
  for (std::size_t i = 0; i < part.size();) {
    if (IsLowerAlnum(part[i])) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (!IsLowerAlnum(part[end])) ++end;
    const absl::string_view separator = part.substr(i, end - i);
    if (separator != "." && separator != "_" && separator != "__" &&
        !absl::c_all_of(separator, [](char c) { return c == '-'; })) {
      return false;
    }
    i = end;
  }
  return true;
}

bool IsTag(absl::string_view tag) {
  constexpr std::size_t kMaxTagBytes = 128;
  return !tag.empty() && tag.size() <= kMaxTagBytes && tag[0] != '.' &&
         tag[0] != '-' && absl::c_all_of(tag, [](char c) {
           return absl::ascii_isalnum(c) || absl::StrContains("_.-", c);
         });
}

// The algorithms that there are, not all that the grammar would take.
bool IsDigest(absl::string_view digest) {
  for (const auto& [prefix, digits] :
       {std::pair<absl::string_view, std::size_t>{"sha256:", 64},
        {"sha384:", 96},
        {"sha512:", 128}}) {
    if (absl::StartsWith(digest, prefix)) {
      const absl::string_view hex = digest.substr(prefix.size());
      return hex.size() == digits && IsLowerHex(hex);
    }
  }
  return false;
}

bool NamesHost(absl::string_view first_part) {
  return absl::StrContains(first_part, '.') ||
         absl::StrContains(first_part, ':') || first_part == "localhost" ||
         absl::c_any_of(first_part, absl::ascii_isupper);
}

}  // namespace

std::string ImageReference::Short() const {
  absl::string_view short_path = path;
  if (host == kDockerHub) absl::ConsumePrefix(&short_path, "library/");
  return absl::StrCat(host == kDockerHub ? "" : absl::StrCat(host, "/"),
                      short_path, tag.empty() ? "" : absl::StrCat(":", tag),
                      digest.empty() ? "" : absl::StrCat("@", digest));
}

std::optional<ImageReference> ReadImageReference(absl::string_view text) {
  // Such a name is an id everywhere else.
  if (text.size() == 64 && IsLowerHex(text)) return std::nullopt;
  ImageReference reference;
  const std::size_t at = text.find('@');
  if (at != absl::string_view::npos) {
    reference.digest = std::string(text.substr(at + 1));
    if (!IsDigest(reference.digest)) return std::nullopt;
    text = text.substr(0, at);
  }
  const std::size_t slash = text.find('/');
  reference.host = std::string(kDockerHub);
  if (slash != absl::string_view::npos && NamesHost(text.substr(0, slash))) {
    reference.host = std::string(text.substr(0, slash));
    text = text.substr(slash + 1);
    if (!IsHost(reference.host)) return std::nullopt;
    if (reference.host == "index.docker.io") {
      reference.host = std::string(kDockerHub);
    }
  }
  const std::size_t colon = text.find(':');
  if (colon != absl::string_view::npos) {
    reference.tag = std::string(text.substr(colon + 1));
    if (!IsTag(reference.tag)) return std::nullopt;
    text = text.substr(0, colon);
  } else if (reference.digest.empty()) {
    reference.tag = "latest";
  }
  reference.path = std::string(text);
  if (!absl::c_all_of(absl::StrSplit(text, '/'), IsPathPart)) {
    return std::nullopt;
  }
  if (reference.host == kDockerHub && !absl::StrContains(text, '/')) {
    reference.path = absl::StrCat("library/", text);
  }
  if (reference.host.size() + 1 + reference.path.size() > kMaxNameBytes) {
    return std::nullopt;
  }
  return reference;
}

}  // namespace containerbuilder::service
