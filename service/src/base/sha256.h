#ifndef CONTAINERBUILDER_BASE_SHA256_H_
#define CONTAINERBUILDER_BASE_SHA256_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// A SHA-256, which names what it was made of.
class Digest {
 public:
  using Bytes = std::array<std::uint8_t, 32>;

  explicit Digest(const Bytes& bytes) : bytes_(bytes) {}

  // Of `text`: that of a whole content.
  static Digest Of(absl::string_view content);
  // `sha256:` and 64 lower-case hex digits; nothing where it is none.
  static std::optional<Digest> Parse(absl::string_view text);
  // The 64 digits alone, as files are named.
  static std::optional<Digest> FromHex(absl::string_view hex);

  const Bytes& bytes() const { return bytes_; }
  std::string Hex() const;
  std::string ToString() const { return "sha256:" + Hex(); }

  friend bool operator==(const Digest& a, const Digest& b) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Digest& digest) {
    return H::combine(std::move(h), digest.bytes_);
  }

 private:
  Bytes bytes_;
};

// Takes the SHA-256 of what comes in pieces.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;

  void Update(absl::string_view bytes);
  // Of all that came; only once.
  Digest Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_SHA256_H_
