#include "credentials.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace containerbuilder::client {
namespace {

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  if (path.empty()) return "";
  std::ifstream file(path, std::ios::binary);
  std::string content(std::istreambuf_iterator<char>(file), {});
  if (!file || content.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": cannot be read, or is empty"));
  }
  return content;
}

// 127.0.0.0/8, and no name that begins like it.
bool IsLoopbackIp(absl::string_view address) {
  return absl::StartsWith(address, "127.") &&
         address.substr(0, address.rfind(':'))
                 .find_first_not_of("0123456789.") == absl::string_view::npos;
}

// What is sent there leaves this machine.
bool IsRemote(absl::string_view address) {
  return !absl::StartsWith(address, "unix:") && !IsLoopbackIp(address) &&
         !absl::StartsWith(address, "localhost:") &&
         !absl::StartsWith(address, "[::1]:");
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const ClientOptions& options) {
  if (!std::all_of(options.token.begin(), options.token.end(),
                   absl::ascii_isgraph)) {
    return absl::InvalidArgumentError(
        "the token has spaces or other characters that are not printable");
  }
  if (!options.tls.has_value()) {
    if (!options.token.empty() && IsRemote(options.address)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the token would go to ", options.address, " in the clear; use TLS"));
    }
    return grpc::InsecureChannelCredentials();
  }
  if (options.tls->cert_file.empty() != options.tls->key_file.empty()) {
    return absl::InvalidArgumentError(
        "a client certificate needs its key, and the key its certificate");
  }
  grpc::SslCredentialsOptions pem;
  const struct {
    const std::string& path;
    std::string& content;
  } files[] = {
      {options.tls->ca_file, pem.pem_root_certs},
      {options.tls->cert_file, pem.pem_cert_chain},
      {options.tls->key_file, pem.pem_private_key},
  };
  for (const auto& file : files) {
    absl::StatusOr<std::string> content = ReadFile(file.path);
    if (!content.ok()) return content.status();
    file.content = *std::move(content);
  }
  return grpc::SslCredentials(pem);
}

}  // namespace containerbuilder::client
