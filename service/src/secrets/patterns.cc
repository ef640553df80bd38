#include "secrets/patterns.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/limits.h"

namespace containerbuilder::service {
namespace {

using Encoder = std::string (*)(absl::string_view);

// What `base64` and its like put into a line; and openssl and PEM.
constexpr std::size_t kLineSizes[] = {76, 64};

absl::string_view WithoutFinalNewline(absl::string_view value) {
  if (absl::ConsumeSuffix(&value, "\n")) absl::ConsumeSuffix(&value, "\r");
  return value;
}

// Those characters of a longer text's base64 that `value` alone decides, where
// it stands `before` bytes behind a multiple of three.
std::string Base64Within(absl::string_view value, std::size_t before,
                         Encoder encode) {
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

// Where a text of so many bytes is cut that is written in lines of any of these
// sizes; from 0 to the end.
std::vector<std::size_t> Cuts(std::size_t size) {
  std::vector<std::size_t> cuts = {size};
  for (const std::size_t line : kLineSizes) {
    for (std::size_t cut = 0; cut < size; cut += line) cuts.push_back(cut);
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  return cuts;
}

// Those pieces of a value's base64 that end behind its first `known` bytes.
// Masks that touch are one, so they hide it in lines of each size, and in one,
// and take hardly more memory than one pattern would.
void AddPieces(absl::string_view base64, std::size_t known,
               std::vector<std::string>& texts) {
  const std::vector<std::size_t> cuts = Cuts(base64.size());
  const auto add = [&](std::size_t from, std::size_t to) {
    const std::size_t size = cuts[to] - cuts[from];
    if (cuts[to] > known && size >= limits::kMinRedactedBytes) {
      texts.emplace_back(base64.substr(cuts[from], size));
    }
  };
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    add(i, i + 1);
    if (cuts[i + 1] - cuts[i] >= limits::kMinRedactedBytes) continue;
    // Too short by itself, it goes with its neighbours.
    if (i + 2 < cuts.size()) add(i, i + 2);
    std::size_t from = i;
    while (from > 0 && cuts[i + 1] - cuts[from] < limits::kMinRedactedBytes) {
      --from;
    }
    add(from, i + 1);
  }
}

// The base64 of `value`, which has `text` and a newline or not, of `text`, of
// `text` with a newline, as `echo` writes it, and what is the same where other
// bytes follow.
void AddBase64(absl::string_view text, absl::string_view value, Encoder encode,
               std::vector<std::string>& texts) {
  const std::string common = Base64Within(text, 0, encode);
  AddPieces(common, 0, texts);
  for (const std::string& whole :
       {encode(text), encode(value), encode(absl::StrCat(text, "\n"))}) {
    AddPieces(whole, common.size(), texts);
  }
}

}  // namespace

std::vector<std::string> RevealingTexts(std::vector<absl::string_view> values) {
  std::vector<std::string> texts;
  const auto add = [&texts](std::string text) {
    if (text.size() >= limits::kMinRedactedBytes) {
      texts.push_back(std::move(text));
    }
  };
  // Tokens are short; patterns take memory.
  std::sort(values.begin(), values.end(),
            [](absl::string_view a, absl::string_view b) {
              return a.size() < b.size();
            });
  std::size_t bytes = 0;
  for (const absl::string_view value : values) {
    const absl::string_view text = WithoutFinalNewline(value);
    add(std::string(text));
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      absl::ConsumeSuffix(&line, "\r");
      if (line.size() < text.size()) add(std::string(line));
    }
    AddBase64(text, value, Encode, texts);
    bytes += value.size();
    if (text.empty() || bytes > limits::kMaxAlignedRedactionBytes) continue;
    AddBase64(text, value, EncodeForUrls, texts);
    for (const std::size_t before : {1, 2}) {
      add(Base64Within(text, before, Encode));
      add(Base64Within(text, before, EncodeForUrls));
    }
  }
  return texts;
}

std::vector<std::string> RevealingPieces(absl::string_view base64) {
  std::vector<std::string> texts;
  AddPieces(base64, 0, texts);
  return texts;
}

bool IsTooShortToRedact(absl::string_view value) {
  return WithoutFinalNewline(value).size() < limits::kMinRedactedBytes;
}

}  // namespace containerbuilder::service
