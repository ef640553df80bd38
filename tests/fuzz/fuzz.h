#ifndef CONTAINERBUILDER_TESTS_FUZZ_FUZZ_H_
#define CONTAINERBUILDER_TESTS_FUZZ_FUZZ_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/stubs/logging.h"

// What fuzz targets share. A target is a program of its own: libFuzzer calls
// LLVMFuzzerTestOneInput with inputs that it makes, or replay.cc with those of
// the corpus.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size);

namespace containerbuilder::fuzz {

// Ends the program, which is how a target tells of a finding.
inline void Check(bool holds, absl::string_view what,
                  absl::string_view detail = "") {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s %.*s\n",
               static_cast<int>(what.size()), what.data(),
               static_cast<int>(detail.size()), detail.data());
  std::abort();
}

// Parses a message as the service does, without words about what is none.
template <typename Message>
bool Parse(absl::string_view bytes, Message& message) {
  static const google::protobuf::LogSilencer silencer;
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// Takes an input apart. At its end there are zeros and empty texts.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return rest_.empty(); }

  std::uint8_t Byte() {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<std::uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return byte;
  }

  std::uint32_t Number() {
    std::uint32_t number = 0;
    for (int i = 0; i < 4; ++i) number = number << 8 | Byte();
    return number;
  }

  // A text behind its length in one byte, or in two.
  absl::string_view Text() { return Take(Byte()); }
  absl::string_view LongText() {
    const std::size_t high = Byte();
    return Take(high << 8 | Byte());
  }

  absl::string_view Rest() { return Take(rest_.size()); }

 private:
  absl::string_view Take(std::size_t size) {
    const absl::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(taken.size());
    return taken;
  }

  absl::string_view rest_;
};

}  // namespace containerbuilder::fuzz

#endif  // CONTAINERBUILDER_TESTS_FUZZ_FUZZ_H_
