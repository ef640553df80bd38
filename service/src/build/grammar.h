#ifndef CONTAINERBUILDER_BUILD_GRAMMAR_H_
#define CONTAINERBUILDER_BUILD_GRAMMAR_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

// How small texts of requests and settings have to look.
namespace containerbuilder::service {

// The flag that an option's name means, in either spelling.
std::string FlagName(absl::string_view option);

// Whether `text` is a pattern's, in which `*` stands for any characters.
bool MatchesAny(absl::string_view text,
                const std::vector<std::string>& patterns);

bool HasControl(absl::string_view text);

// Takes white space off its beginning, as Go's unicode.IsSpace knows it.
void SkipUnicodeBlanks(absl::string_view& text);

// Whether such stands at its beginning or end.
bool HasOuterBlanks(absl::string_view text);

// Made of letters, digits and what is in `besides`, and not empty.
bool IsName(absl::string_view text, absl::string_view besides);

// os[/arch[/variant]].
bool IsPlatform(absl::string_view platform);

// Where Go's strconv.ParseBool and BuildKit read no.
bool IsFalse(absl::string_view value);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_GRAMMAR_H_
