#include "go_text.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace containerbuilder::client {
namespace {

// The leading byte's share of the value, and the bytes that must follow.
struct Lead {
  char32_t bits;
  std::size_t followers;
  char32_t least;  // shorter forms are not taken
};

bool IsSpace(char32_t rune) {
  return (0x09 <= rune && rune <= 0x0d) || rune == 0x20 || rune == 0x85 ||
         rune == 0xa0 || rune == 0x1680 || (0x2000 <= rune && rune <= 0x200a) ||
         rune == 0x2028 || rune == 0x2029 || rune == 0x202f || rune == 0x205f ||
         rune == 0x3000;
}

// The rune that `text` ends with.
Rune DecodeLastRune(std::string_view text) {
  for (std::size_t size = 4; size > 1; --size) {
    if (size > text.size()) continue;
    const Rune rune = DecodeRune(text.substr(text.size() - size));
    if (rune.size == size) return rune;
  }
  return DecodeRune(text.substr(text.size() - 1));
}

// Takes one member of a class of filepath.Match; nothing where it is none.
std::optional<char32_t> TakeClassMember(std::string_view& pattern) {
  if (pattern.empty() || pattern[0] == '-' || pattern[0] == ']') {
    return std::nullopt;
  }
  if (pattern[0] == '\\') pattern.remove_prefix(1);
  if (pattern.empty()) return std::nullopt;
  const Rune rune = DecodeRune(pattern);
  if (rune.value == kRuneError && rune.size == 1) return std::nullopt;
  pattern.remove_prefix(rune.size);
  if (pattern.empty()) return std::nullopt;
  return rune.value;
}

// Takes a class, from behind its `[` to behind its `]`, and tells whether it
// has the rune.
std::optional<bool> TakeClass(std::string_view& pattern, char32_t rune) {
  const bool negated = pattern.starts_with('^');
  if (negated) pattern.remove_prefix(1);
  bool has = false;
  for (bool is_first = true;; is_first = false) {
    if (!is_first && pattern.starts_with(']')) {
      pattern.remove_prefix(1);
      return has != negated;
    }
    const auto low = TakeClassMember(pattern);
    if (!low) return std::nullopt;
    auto high = low;
    if (pattern.starts_with('-')) {
      pattern.remove_prefix(1);
      high = TakeClassMember(pattern);
      if (!high) return std::nullopt;
    }
    has = has || (*low <= rune && rune <= *high);
  }
}

// Takes a pattern's part up to a star. Go sees what is in a class there by
// brackets alone.
std::string_view TakeChunk(std::string_view& pattern) {
  bool in_class = false;
  std::size_t at = 0;
  for (; at < pattern.size(); ++at) {
    if (pattern[at] == '\\') {
      if (at + 1 < pattern.size()) ++at;
    } else if (pattern[at] == '[') {
      in_class = true;
    } else if (pattern[at] == ']') {
      in_class = false;
    } else if (pattern[at] == '*' && !in_class) {
      break;
    }
  }
  const std::string_view chunk = pattern.substr(0, at);
  pattern.remove_prefix(at);
  return chunk;
}

enum class ChunkMatch { kBadPattern, kNo, kYes };

// Takes from `name` what the chunk matches at its begin.
ChunkMatch TakeMatch(std::string_view chunk, std::string_view& name) {
  std::string_view rest = name;
  bool failed = false;
  while (!chunk.empty()) {
    failed = failed || rest.empty();
    const char c = chunk[0];
    const Rune rune = failed ? Rune{0, 0} : DecodeRune(rest);
    if (c == '[') {
      chunk.remove_prefix(1);
      const auto has = TakeClass(chunk, rune.value);
      if (!has) return ChunkMatch::kBadPattern;
      rest.remove_prefix(rune.size);
      failed = failed || !*has;
      continue;
    }
    if (c == '\\') chunk.remove_prefix(1);
    if (chunk.empty()) return ChunkMatch::kBadPattern;
    if (!failed) {
      failed = c == '?' ? rest[0] == '/' : rest[0] != chunk[0];
      rest.remove_prefix(c == '?' ? rune.size : 1);
    }
    chunk.remove_prefix(1);
  }
  if (failed) return ChunkMatch::kNo;
  name = rest;
  return ChunkMatch::kYes;
}

}  // namespace

Rune DecodeRune(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return {first, 1};
  Lead lead;
  if (0xc2 <= first && first <= 0xdf) {
    lead = {first & 0x1fu, 1, 0x80};
  } else if (0xe0 <= first && first <= 0xef) {
    lead = {first & 0x0fu, 2, 0x800};
  } else if (0xf0 <= first && first <= 0xf4) {
    lead = {first & 0x07u, 3, 0x10000};
  } else {
    return {kRuneError, 1};
  }
  if (text.size() <= lead.followers) return {kRuneError, 1};
  char32_t value = lead.bits;
  for (std::size_t i = 1; i <= lead.followers; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0) != 0x80) return {kRuneError, 1};
    value = value << 6 | (byte & 0x3f);
  }
  if (value < lead.least || value > 0x10ffff ||
      (0xd800 <= value && value <= 0xdfff)) {
    return {kRuneError, 1};
  }
  return {value, 1 + lead.followers};
}

std::string ToValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const Rune rune = DecodeRune(text);
    if (rune.value == kRuneError && rune.size == 1) {
      valid += "\xef\xbf\xbd";
    } else {
      valid += text.substr(0, rune.size);
    }
    text.remove_prefix(rune.size);
  }
  return valid;
}

std::string_view TrimSpace(std::string_view text) {
  while (!text.empty()) {
    const Rune rune = DecodeRune(text);
    if (!IsSpace(rune.value)) break;
    text.remove_prefix(rune.size);
  }
  while (!text.empty()) {
    const Rune rune = DecodeLastRune(text);
    if (!IsSpace(rune.value)) break;
    text.remove_suffix(rune.size);
  }
  return text;
}

std::string CleanPath(std::string_view path) {
  const bool is_absolute = path.starts_with('/');
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(part.size() + 1, path.size()));
    if (part.empty() || part == ".") continue;
    if (part == ".." && !parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (part != ".." || !is_absolute) {
      parts.push_back(part);
    }
  }
  std::string clean = is_absolute ? "/" : "";
  for (const std::string_view part : parts) {
    if (!clean.empty() && clean.back() != '/') clean += '/';
    clean += part;
  }
  return clean.empty() ? "." : clean;
}

bool IsMatchPattern(std::string_view pattern) {
  std::string_view name = ".";
  while (!pattern.empty()) {
    const bool has_star = pattern.starts_with('*');
    while (pattern.starts_with('*')) pattern.remove_prefix(1);
    const std::string_view chunk = TakeChunk(pattern);
    if (has_star && chunk.empty()) return true;
    // What a star before it takes.
    const std::size_t most = has_star ? name.size() : 0;
    std::optional<std::string_view> rest;
    for (std::size_t taken = 0; taken <= most && !rest; ++taken) {
      std::string_view candidate = name.substr(taken);
      const ChunkMatch match = TakeMatch(chunk, candidate);
      if (match == ChunkMatch::kBadPattern) return false;
      if (match == ChunkMatch::kYes &&
          (candidate.empty() || !pattern.empty())) {
        rest = candidate;
      }
    }
    if (!rest) return true;
    name = *rest;
  }
  return true;
}

}  // namespace containerbuilder::client
