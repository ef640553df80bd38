#include "secrets/patterns.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/limits.h"

namespace containerbuilder::service {
namespace {

absl::string_view WithoutFinalNewline(absl::string_view value) {
  if (absl::ConsumeSuffix(&value, "\n")) absl::ConsumeSuffix(&value, "\r");
  return value;
}

// Those characters of a longer text's base64 that `value` alone decides, where
// it stands `before` bytes behind a multiple of three.
std::string Base64Within(absl::string_view value, std::size_t before,
                         std::string (*encode)(absl::string_view)) {
  const std::string whole =
      encode(absl::StrCat(std::string(before, '\0'), value));
  const std::size_t begin = (8 * before + 5) / 6;
  const std::size_t end = 8 * (before + value.size()) / 6;
  return whole.substr(begin, end - begin);
}

std::string Encode(absl::string_view bytes) {
  return absl::Base64Escape(bytes);
}

std::string EncodeForUrls(absl::string_view bytes) {
  return absl::WebSafeBase64Escape(bytes);
}

}  // namespace

std::vector<std::string> RevealingTexts(absl::string_view value) {
  const absl::string_view text = WithoutFinalNewline(value);
  std::vector<std::string> texts = {std::string(text)};
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    texts.emplace_back(absl::StripSuffix(line, "\r"));
  }
  // Of the long ones only as they are: patterns take memory.
  const std::size_t places =
      text.size() <= limits::kMaxAlignedRedactionBytes ? 3 : 1;
  for (const auto encode : {Encode, EncodeForUrls}) {
    texts.push_back(encode(text));
    texts.push_back(encode(value));
    if (text.empty()) continue;
    for (std::size_t before = 0; before < places; ++before) {
      texts.push_back(Base64Within(text, before, encode));
    }
  }
  texts.erase(std::remove_if(texts.begin(), texts.end(),
                             [](const std::string& found) {
                               return found.size() < limits::kMinRedactedBytes;
                             }),
              texts.end());
  return texts;
}

bool IsTooShortToRedact(absl::string_view value) {
  return WithoutFinalNewline(value).size() < limits::kMinRedactedBytes;
}

}  // namespace containerbuilder::service
