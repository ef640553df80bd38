#ifndef CONTAINERBUILDER_TESTS_SUPPORT_NAIVE_REDACTION_H_
#define CONTAINERBUILDER_TESTS_SUPPORT_NAIVE_REDACTION_H_

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

// What the redactor is to do, by trying each pattern at each place.
namespace containerbuilder::test_support {

// The bytes of `text` that belong to patterns.
inline std::vector<bool> Hidden(const std::vector<std::string>& patterns,
                                const std::string& text) {
  std::vector<bool> hidden(text.size(), false);
  for (const std::string& pattern : patterns) {
    if (pattern.empty()) continue;
    for (std::size_t at = text.find(pattern); at != std::string::npos;
         at = text.find(pattern, at + 1)) {
      std::fill_n(hidden.begin() + static_cast<std::ptrdiff_t>(at),
                  pattern.size(), true);
    }
  }
  return hidden;
}

// The first `size` bytes with a mask for each run of hidden ones.
inline std::string Masked(const std::string& text,
                          const std::vector<bool>& hidden, std::size_t size) {
  std::string shown;
  for (std::size_t i = 0; i < size; ++i) {
    if (!hidden[i]) {
      shown += text[i];
    } else if (i == 0 || !hidden[i - 1]) {
      shown += "***";
    }
  }
  return shown;
}

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_SUPPORT_NAIVE_REDACTION_H_
