#include "sha256.h"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace containerbuilder::client {
namespace {

// It fails where a policy of the machine's forbids the algorithm, or memory is
// out.
void Check(int result) {
  if (result != 1) throw std::runtime_error("OpenSSL refuses SHA-256");
}

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  Check(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

void Sha256::Update(std::string_view bytes) {
  Check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

std::string Sha256::Digest() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  Check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size));
  return absl::StrCat(
      "sha256:", absl::BytesToHexString(
                     {reinterpret_cast<const char*>(digest.data()), size}));
}

std::string Sha256Digest(std::string_view bytes) {
  Sha256 sha256;
  sha256.Update(bytes);
  return sha256.Digest();
}

}  // namespace containerbuilder::client
