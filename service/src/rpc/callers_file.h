#ifndef CONTAINERBUILDER_RPC_CALLERS_FILE_H_
#define CONTAINERBUILDER_RPC_CALLERS_FILE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "containerbuilder/service/caller.h"

namespace containerbuilder::service {

// The operator's list of who may call: ServerOptions::callers_file says how it
// is written.
class CallersFile {
 public:
  // INVALID_ARGUMENT names the line.
  static absl::StatusOr<CallersFile> Parse(absl::string_view text);

  // Whose token this is; nothing where it is nobody's. How long that takes
  // tells nothing of the tokens there are: each is compared to its end.
  std::optional<Caller> FindToken(absl::string_view token) const;

  // The role of a client's certificate that has this name; nothing where the
  // file does not have it.
  std::optional<Role> FindCertificate(absl::string_view name) const;

  std::size_t size() const { return tokens_.size() + certificates_.size(); }

 private:
  using Digest = std::array<std::uint8_t, 32>;
  struct Token {
    Digest sha256;
    std::string name;
    Role role;
  };

  std::vector<Token> tokens_;
  absl::flat_hash_map<std::string, Role> certificates_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_CALLERS_FILE_H_
