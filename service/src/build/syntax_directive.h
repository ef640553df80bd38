#ifndef CONTAINERBUILDER_BUILD_SYNTAX_DIRECTIVE_H_
#define CONTAINERBUILDER_BUILD_SYNTAX_DIRECTIVE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// The frontends that a Dockerfile may be read to ask for.
struct SyntaxDirectives {
  // Values of `# syntax=` and `// syntax=`, up to the first blank.
  std::vector<std::string> frontends;
  // It may be JSON, whose member `syntax` is one more; no Dockerfile begins so.
  bool is_json = false;
};

// What any release of BuildKit would find in that file. They differ in the
// forms that they know (`#`, `//`, JSON, behind a byte order mark, behind a
// first line with `#!`) and use one of them; here all count.
SyntaxDirectives FindSyntaxDirectives(absl::string_view dockerfile);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_SYNTAX_DIRECTIVE_H_
