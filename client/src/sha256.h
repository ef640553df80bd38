#ifndef CONTAINERBUILDER_CLIENT_SHA256_H_
#define CONTAINERBUILDER_CLIENT_SHA256_H_

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace containerbuilder::client {

// The digest of bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  void Update(std::string_view bytes);
  // `sha256:` and 64 hex digits. Once.
  std::string Digest();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

std::string Sha256Digest(std::string_view bytes);

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_SHA256_H_
