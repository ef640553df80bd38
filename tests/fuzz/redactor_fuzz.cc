// The redactor against a naive one, however the stream is cut; and secrets
// never come through.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fuzz/fuzz.h"
#include "secrets/patterns.h"
#include "secrets/redactor.h"
#include "support/naive_redaction.h"

namespace containerbuilder::service {
namespace {

using fuzz::Check;
using fuzz::Input;
using test_support::Hidden;
using test_support::Masked;
using Patterns = std::vector<std::string>;

// The longest end of `text` that begins a pattern and is not all of it.
std::size_t OpenEnd(const Patterns& patterns, const std::string& text) {
  std::size_t longest = 0;
  for (const std::string& pattern : patterns) {
    for (std::size_t size = std::min(pattern.size(), text.size() + 1);
         size-- > 1;) {
      if (absl::EndsWith(text, pattern.substr(0, size))) {
        longest = std::max(longest, size);
        break;
      }
    }
  }
  return longest;
}

void CheckStream(const Patterns& patterns, const std::string& text,
                 Input& cuts) {
  Redactor redactor(std::make_shared<PatternSet>(patterns));
  std::string shown;
  std::string fed;
  // The naive one is slow, so it does not look at each.
  const std::size_t looked_at = cuts.Byte() % 16;
  for (std::size_t i = 0; fed.size() < text.size(); ++i) {
    const std::string chunk = text.substr(fed.size(), cuts.Byte() % 32 + 1);
    absl::StrAppend(&fed, chunk);
    absl::StrAppend(&shown, redactor.Feed(chunk));
    if (i != looked_at) continue;
    // All of it but what may still become a pattern.
    Check(shown == Masked(fed, Hidden(patterns, fed),
                          fed.size() - OpenEnd(patterns, fed)),
          "what is shown so far");
  }
  absl::StrAppend(&shown, redactor.Finish());
  Check(shown == Masked(text, Hidden(patterns, text), text.size()),
        "what is shown");
}

// A secret among other text is not in what is shown.
void CheckSecret(const std::string& secret, const std::string& text) {
  const std::vector<std::string> revealing = RevealingTexts({secret});
  Redactor redactor(std::make_shared<PatternSet>(revealing));
  const std::string shown = absl::StrCat(
      redactor.Feed(absl::StrCat(text, secret, text)), redactor.Finish());
  for (const std::string& pattern : revealing) {
    // Masks may meet text to make it by chance.
    if (absl::StrContains(pattern, "*")) continue;
    Check(!absl::StrContains(shown, pattern), "the secret is shown");
  }
}

}  // namespace
}  // namespace containerbuilder::service

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace containerbuilder;  // NOLINT(google-build-using-namespace)
  if (size > 1000) return 0;
  fuzz::Input input(data, size);
  if (input.Byte() % 4 == 0) {
    const std::string secret(input.Text());
    service::CheckSecret(secret, std::string(input.Rest()));
    return 0;
  }
  service::Patterns patterns(input.Byte() % 8);
  for (std::string& pattern : patterns) pattern = std::string(input.Text());
  fuzz::Input cuts = input;
  service::CheckStream(patterns, std::string(input.Rest()), cuts);
  return 0;
}
