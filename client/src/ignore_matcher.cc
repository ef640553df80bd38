#include "ignore_matcher.h"

#include <re2/re2.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "go_text.h"

namespace containerbuilder::client {
namespace {

// Of Go's bufio.Scanner.
constexpr std::size_t kLineLimit = 64 * 1024;
constexpr std::int64_t kMaxRegexpMemory = 64 * 1024 * 1024;
constexpr char32_t kByteOrderMark = 0xfeff;

absl::Status BadPattern(std::string_view pattern) {
  return absl::InvalidArgumentError(absl::StrCat(
      "not a pattern of .dockerignore: \"", std::string(pattern), "\""));
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool TakeSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

// The pattern of one line; empty where it has none.
std::string ReadLine(std::string_view line) {
  if (line.starts_with('#')) return "";
  line = TrimSpace(line);
  if (line.empty()) return "";
  const bool takes_back = TakePrefix(line, "!");
  if (takes_back) line = TrimSpace(line);
  std::string pattern;
  if (!line.empty()) {
    pattern = CleanPath(line);
    if (pattern.size() > 1 && pattern[0] == '/') pattern.erase(0, 1);
  }
  return takes_back ? absl::StrCat("!", pattern) : pattern;
}

// As fsutil shortens a pattern before it compares names.
std::string_view WithoutTrailingGlob(std::string_view pattern) {
  TakeSuffix(pattern, "/**");
  TakeSuffix(pattern, "/*");
  return pattern;
}

// RE2 knows `\C`, any one byte; Go's regexp does not take it.
bool HasAnyByte(std::string_view regexp) {
  while (true) {
    const std::size_t at = regexp.find('\\');
    if (at == std::string_view::npos || at + 1 == regexp.size()) return false;
    const char escaped = regexp[at + 1];
    if (escaped == 'C') return true;
    regexp.remove_prefix(at + 2);
    if (escaped != 'Q') continue;
    const std::size_t end = regexp.find("\\E");
    if (end == std::string_view::npos) return false;
    regexp.remove_prefix(end + 2);
  }
}

// Reads a pattern as Go's text/scanner does.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {
    if (!AtEnd() && DecodeRune(rest_).value == kByteOrderMark) Next();
  }
  bool AtEnd() const { return rest_.empty(); }
  bool Take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string Next() {
    const Rune rune = DecodeRune(rest_);
    std::string bytes = ToValidUtf8(rest_.substr(0, rune.size));
    rest_.remove_prefix(rune.size);
    return bytes;
  }

 private:
  std::string_view rest_;
};

}  // namespace

class IgnoreMatcher::Pattern {
 public:
  Pattern(std::string pattern, bool takes_back)
      : pattern_(std::move(pattern)), takes_back_(takes_back) {}

  const std::string& text() const { return pattern_; }
  bool takes_back() const { return takes_back_; }

  absl::StatusOr<bool> Matches(std::string_view path) {
    if (kind_ == Kind::kUnknown) Compile();
    switch (kind_) {
      case Kind::kExact:
        return path == pattern_;
      case Kind::kPrefix:
        return path.starts_with(
            std::string_view(pattern_).substr(0, pattern_.size() - 2));
      case Kind::kSuffix: {
        const std::string_view suffix = std::string_view(pattern_).substr(2);
        return path.ends_with(suffix) ||
               (suffix[0] == '/' && path == suffix.substr(1));
      }
      default:
        break;
    }
    if (regexp_ == nullptr || !regexp_->ok()) return BadPattern(pattern_);
    return re2::RE2::PartialMatch(ToValidUtf8(path), *regexp_);
  }

 private:
  enum class Kind { kUnknown, kExact, kPrefix, kSuffix, kRegexp };

  void Compile();

  std::string pattern_;  // without its `!`
  bool takes_back_;
  Kind kind_ = Kind::kUnknown;
  std::unique_ptr<re2::RE2> regexp_;  // null: none that Go takes
};

// The steps are patternmatcher's, with all that follows from their order: a
// `**` at the begin makes the rest a suffix, byte for byte, unless it has more
// wildcards. It means to quote `|`, `{` and `}`, too, and does not.
void IgnoreMatcher::Pattern::Compile() {
  std::string regexp = "^";
  Kind kind = Kind::kExact;
  Scanner scanner(pattern_);
  for (bool is_first = true; !scanner.AtEnd(); is_first = false) {
    if (scanner.Take('*')) {
      if (!scanner.Take('*')) {
        regexp += "[^/]*";
        kind = Kind::kRegexp;
        continue;
      }
      scanner.Take('/');
      if (!scanner.AtEnd()) {
        regexp += "(.*/)?";
        kind = Kind::kRegexp;
      } else if (kind == Kind::kExact) {
        kind = Kind::kPrefix;
      } else {
        regexp += ".*";
        kind = Kind::kRegexp;
      }
      if (is_first) kind = Kind::kSuffix;
    } else if (scanner.Take('?')) {
      regexp += "[^/]";
      kind = Kind::kRegexp;
    } else if (scanner.Take('\\')) {
      regexp += '\\';
      if (!scanner.AtEnd()) {
        regexp += scanner.Next();
        kind = Kind::kRegexp;
      }
    } else {
      const std::string bytes = scanner.Next();
      if (bytes == "[" || bytes == "]") {
        kind = Kind::kRegexp;
      } else if (bytes.size() == 1 && std::string_view(".+()$").find(
                                          bytes[0]) != std::string_view::npos) {
        regexp += '\\';
      }
      regexp += bytes;
    }
  }
  kind_ = kind;
  if (kind != Kind::kRegexp || HasAnyByte(regexp)) return;
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMaxRegexpMemory);
  regexp_ = std::make_unique<re2::RE2>(regexp + "$", options);
}

absl::StatusOr<std::vector<std::string>> ReadIgnoreFile(std::string_view text) {
  std::vector<std::string> patterns;
  for (int number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    if (line.size() >= kLineLimit) {
      return absl::InvalidArgumentError(
          absl::StrFormat(".dockerignore: line %d is too long", number));
    }
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    TakeSuffix(line, "\r");
    if (number == 1) TakePrefix(line, "\xef\xbb\xbf");
    std::string pattern = ReadLine(line);
    // They go to buildkitd as JSON, which has no other bytes.
    if (!pattern.empty()) patterns.push_back(ToValidUtf8(pattern));
  }
  return patterns;
}

IgnoreMatcher::IgnoreMatcher() = default;
IgnoreMatcher::IgnoreMatcher(IgnoreMatcher&&) noexcept = default;
IgnoreMatcher& IgnoreMatcher::operator=(IgnoreMatcher&&) noexcept = default;
IgnoreMatcher::~IgnoreMatcher() = default;

absl::StatusOr<IgnoreMatcher> IgnoreMatcher::Create(
    std::span<const std::string> patterns) {
  IgnoreMatcher matcher;
  for (const std::string& given : patterns) {
    const std::string_view trimmed = TrimSpace(given);
    if (trimmed.empty()) continue;
    std::string pattern = CleanPath(trimmed);
    const bool takes_back = pattern[0] == '!';
    if (takes_back) {
      pattern.erase(0, 1);
      if (pattern.empty()) return BadPattern("!");
      matcher.takes_back_ = true;
      if (WithoutTrailingGlob(pattern).find_first_of("*[]?^\\") !=
          std::string_view::npos) {
        matcher.takes_back_names_only_ = false;
      }
    }
    if (!IsMatchPattern(pattern)) return BadPattern(pattern);
    matcher.patterns_.emplace_back(std::move(pattern), takes_back);
  }
  return matcher;
}

absl::StatusOr<IgnoreMatcher> IgnoreMatcher::Parse(std::string_view text) {
  const auto patterns = ReadIgnoreFile(text);
  if (!patterns.ok()) return patterns.status();
  return Create(*patterns);
}

absl::StatusOr<IgnoreMatcher::Match> IgnoreMatcher::Matches(
    std::string_view path, const FolderMatches& parent) {
  Match result = {false, FolderMatches(patterns_.size())};
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    Pattern& pattern = patterns_[i];
    bool matches = !parent.empty() && parent[i];
    if (!matches) {
      // It would change nothing. That its match is not known further down is
      // BuildKit's own way, and changes what is found there.
      if (pattern.takes_back() != result.is_ignored) continue;
      const auto own = pattern.Matches(path);
      if (!own.ok()) return own.status();
      matches = *own;
    }
    result.of_folder[i] = matches;
    if (matches) result.is_ignored = !pattern.takes_back();
  }
  return result;
}

bool IgnoreMatcher::MayTakeBackBelow(std::string_view folder) const {
  if (!takes_back_names_only_) return true;
  if (!takes_back_) return false;
  const std::string prefix = std::string(folder) + '/';
  for (const Pattern& pattern : patterns_) {
    if (!pattern.takes_back()) continue;
    const std::string name(WithoutTrailingGlob(pattern.text()));
    if ((name + '/').starts_with(prefix)) return true;
  }
  return false;
}

}  // namespace containerbuilder::client
