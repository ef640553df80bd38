#include "rpc/authenticator.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/small_file.h"
#include "base/status_macros.h"
#include "grpc/grpc_security_constants.h"
#include "grpcpp/security/auth_context.h"
#include "grpcpp/server_context.h"

namespace containerbuilder::service {
namespace {

std::vector<std::string> Properties(const grpc::AuthContext& context,
                                    const char* name) {
  std::vector<std::string> values;
  for (const grpc::string_ref& value : context.FindPropertyValues(name)) {
    values.emplace_back(value.data(), value.size());
  }
  return values;
}

// Names go into records, log lines and messages.
bool IsPrintable(absl::string_view name) {
  return !name.empty() && name.size() <= limits::kMaxCallerNameBytes &&
         std::all_of(name.begin(), name.end(), absl::ascii_isgraph);
}

}  // namespace

Credentials CredentialsOf(const grpc::CallbackServerContext& context) {
  Credentials credentials;
  credentials.is_local = absl::StartsWith(context.peer(), "unix:");
  const auto& metadata = context.client_metadata();
  const auto [begin, end] = metadata.equal_range("authorization");
  for (auto header = begin; header != end; ++header) {
    credentials.authorization.emplace_back(header->second.data(),
                                           header->second.size());
  }
  const auto auth_context = context.auth_context();
  if (auth_context == nullptr || !auth_context->IsPeerAuthenticated()) {
    return credentials;
  }
  credentials.has_certificate = true;
  credentials.uris = Properties(*auth_context, GRPC_PEER_URI_PROPERTY_NAME);
  credentials.dns_names =
      Properties(*auth_context, GRPC_PEER_DNS_PROPERTY_NAME);
  credentials.emails = Properties(*auth_context, GRPC_PEER_EMAIL_PROPERTY_NAME);
  const std::vector<std::string> common_names =
      Properties(*auth_context, GRPC_X509_CN_PROPERTY_NAME);
  if (!common_names.empty()) credentials.common_name = common_names.front();
  return credentials;
}

absl::StatusOr<std::unique_ptr<Authenticator>> Authenticator::Create(
    Options options) {
  auto authenticator = absl::WrapUnique(new Authenticator(std::move(options)));
  CONTAINERBUILDER_RETURN_IF_ERROR(authenticator->Reload().status());
  return authenticator;
}

absl::StatusOr<bool> Authenticator::Reload() {
  if (options_.callers_file.empty()) return false;
  // Readers of the file learn no token from it.
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const std::string text,
      ReadSmallFile("--callers_file", options_.callers_file,
                    FileReaders::kAnybody));
  {
    absl::MutexLock lock(&mutex_);
    if (callers_ != nullptr && text == text_) return false;
    // Such as a full disk leaves of a file that is written in place. It would
    // make builders of viewers by certificate.
    if (callers_ != nullptr && absl::StripAsciiWhitespace(text).empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--callers_file=", options_.callers_file,
                       ": is empty; to let nobody in, leave a comment in it"));
    }
  }
  absl::StatusOr<CallersFile> callers = CallersFile::Parse(text);
  if (!callers.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--callers_file=", options_.callers_file, ": ",
                     callers.status().message()));
  }
  absl::MutexLock lock(&mutex_);
  text_ = text;
  callers_ = std::make_shared<const CallersFile>(*std::move(callers));
  return true;
}

absl::StatusOr<Caller> Authenticator::Authenticate(
    const Credentials& credentials) const {
  if (credentials.authorization.size() > 1) {
    return errors::TokenInvalid("there are several authorization headers");
  }
  if (!credentials.authorization.empty()) {
    return OfToken(credentials.authorization.front());
  }
  if (credentials.is_local && options_.trust_local) return Caller::Local();
  if (credentials.has_certificate) return OfCertificate(credentials);
  if (options_.certificates || !options_.callers_file.empty()) {
    return errors::CredentialsRequired();
  }
  return Caller{kAnonymous};
}

absl::StatusOr<Caller> Authenticator::OfToken(
    const std::string& authorization) const {
  absl::string_view token = authorization;
  constexpr absl::string_view kScheme = "bearer ";
  if (!absl::StartsWithIgnoreCase(token, kScheme)) {
    return errors::TokenInvalid("write \"authorization: Bearer TOKEN\"");
  }
  token.remove_prefix(kScheme.size());
  std::shared_ptr<const CallersFile> callers;
  {
    absl::MutexLock lock(&mutex_);
    callers = callers_;
  }
  if (callers == nullptr) {
    return errors::TokenInvalid(
        "this service knows no tokens; call without one, or let the operator "
        "set --callers_file");
  }
  std::optional<Caller> caller = callers->FindToken(token);
  if (!caller) return errors::TokenInvalid("nobody has this token");
  return *std::move(caller);
}

absl::StatusOr<Caller> Authenticator::OfCertificate(
    const Credentials& credentials) const {
  // Named by its kind, so that one cannot pass for another, nor for a token.
  std::string name;
  if (!credentials.uris.empty()) {
    name = absl::StrCat("uri:", credentials.uris.front());
  } else if (!credentials.dns_names.empty()) {
    name = absl::StrCat("dns:", credentials.dns_names.front());
  } else if (!credentials.emails.empty()) {
    name = absl::StrCat("email:", credentials.emails.front());
  } else if (!credentials.common_name.empty()) {
    name = absl::StrCat("cn:", credentials.common_name);
  }
  if (!IsPrintable(name)) return errors::CertificateInvalid();
  std::shared_ptr<const CallersFile> callers;
  {
    absl::MutexLock lock(&mutex_);
    callers = callers_;
  }
  Caller caller = {name};
  if (callers != nullptr) {
    caller.role = callers->FindCertificate(name).value_or(caller.role);
  }
  return caller;
}

}  // namespace containerbuilder::service
