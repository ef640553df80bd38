#include "build/syntax_directive.h"

#include <algorithm>
#include <cstddef>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "build/grammar.h"

namespace containerbuilder::service {
namespace {

// What Go's regular expressions call \s.
constexpr absl::string_view kBlanks = "\t\n\f\r ";

void SkipBlanks(absl::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
}

absl::string_view TakeLine(absl::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const absl::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return absl::StripSuffix(line, "\r");
}

struct Directive {
  std::string name;
  absl::string_view value;
};

// `name = value`, with anything around it that is blank; no name where it is
// none.
Directive ReadDirective(absl::string_view line) {
  const std::size_t end = std::min(
      static_cast<std::size_t>(absl::c_find_if_not(line, absl::ascii_isalnum) -
                               line.begin()),
      line.size());
  if (end == 0 || !absl::ascii_isalpha(line[0])) return {};
  Directive directive;
  directive.name = absl::AsciiStrToLower(line.substr(0, end));
  line.remove_prefix(end);
  SkipBlanks(line);
  if (!absl::ConsumePrefix(&line, "=") || line.empty()) return {};
  SkipBlanks(line);
  // With nothing but blanks, the last of them is the value to BuildKit.
  directive.value = line.substr(0, line.find_last_not_of(kBlanks) + 1);
  return directive;
}

// Directives stand at the very beginning, one a line. What newer releases do
// not know by its name ends them there, and not for those up to 0.10: a
// `# syntax=` behind `# a=b` counts, though it is a comment to most. That
// refuses no Dockerfile whose comment names a frontend that is allowed.
void FindBehind(absl::string_view mark, absl::string_view text,
                std::vector<std::string>& frontends) {
  while (!text.empty()) {
    absl::string_view line = TakeLine(text);
    if (!absl::ConsumePrefix(&line, mark)) return;
    SkipUnicodeBlanks(line);
    const Directive directive = ReadDirective(line);
    if (directive.name.empty()) return;
    if (directive.name != "syntax") continue;
    const absl::string_view value = directive.value;
    frontends.emplace_back(value.substr(0, value.find(' ')));
  }
}

}  // namespace

SyntaxDirectives FindSyntaxDirectives(absl::string_view dockerfile) {
  SyntaxDirectives found;
  absl::ConsumePrefix(&dockerfile, "\xef\xbb\xbf");
  absl::string_view behind_shebang = dockerfile;
  if (absl::StartsWith(dockerfile, "#!")) TakeLine(behind_shebang);
  for (const absl::string_view text : {dockerfile, behind_shebang}) {
    FindBehind("#", text, found.frontends);
    FindBehind("//", text, found.frontends);
    const std::size_t first = text.find_first_not_of("\t\n\r ");
    found.is_json = found.is_json ||
                    (first != absl::string_view::npos && text[first] == '{');
  }
  return found;
}

}  // namespace containerbuilder::service
