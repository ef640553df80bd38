#include "base/sha256.h"

#include <openssl/evp.h>

#include <new>

#include "absl/algorithm/container.h"
#include "absl/strings/escaping.h"
#include "absl/strings/strip.h"

namespace containerbuilder::service {
namespace {

// OpenSSL fails where memory is out alone.
void CheckMemory(bool done) {
  if (!done) throw std::bad_alloc();
}

}  // namespace

struct Sha256Stream::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256Stream::Sha256Stream() : state_(std::make_unique<State>()) {
  CheckMemory(state_->context != nullptr &&
              EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}

Sha256Stream::~Sha256Stream() = default;
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;
Sha256Stream& Sha256Stream::operator=(Sha256Stream&&) noexcept = default;

void Sha256Stream::Update(absl::string_view bytes) {
  CheckMemory(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) ==
              1);
}

Digest Sha256Stream::Finish() {
  Digest::Bytes bytes;
  CheckMemory(EVP_DigestFinal_ex(state_->context, bytes.data(), nullptr) == 1);
  return Digest(bytes);
}

Digest Digest::Of(absl::string_view content) {
  Sha256Stream stream;
  stream.Update(content);
  return stream.Finish();
}

std::optional<Digest> Digest::Parse(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, "sha256:")) return std::nullopt;
  return FromHex(text);
}

std::optional<Digest> Digest::FromHex(absl::string_view hex) {
  Bytes bytes;
  if (hex.size() != 2 * bytes.size() || !absl::c_all_of(hex, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
      })) {
    return std::nullopt;
  }
  absl::c_copy(absl::HexStringToBytes(hex), bytes.begin());
  return Digest(bytes);
}

std::string Digest::Hex() const {
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(bytes_.data()), bytes_.size()));
}

}  // namespace containerbuilder::service
