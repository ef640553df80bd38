#include "connection_check.h"

#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <string>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "dial.h"

namespace containerbuilder::cli {
namespace {

using v1::HealthCheck;

constexpr absl::string_view kOtherAddress =
    "name another by --address or CONTAINER_BUILDER_ADDRESS";

HealthCheck Row(absl::string_view name, HealthCheck::State state,
                absl::string_view message, absl::string_view hint = "") {
  HealthCheck check;
  check.set_name(std::string(name));
  check.set_state(state);
  check.set_message(std::string(message));
  check.set_hint(std::string(hint));
  return check;
}

HealthCheck Failed(absl::string_view message, absl::string_view hint) {
  return Row("connection", HealthCheck::STATE_FAILED, message, hint);
}

std::string ErrorText(int error) {
  return std::generic_category().message(error);
}

// The socket of `unix:path` and `unix:///path`; nothing of any other address.
std::optional<std::string> SocketPath(const std::string& address) {
  absl::string_view path = address;
  if (!absl::ConsumePrefix(&path, "unix:")) return std::nullopt;
  absl::ConsumePrefix(&path, "//");
  return std::string(path);
}

HealthCheck SocketThatMayNotBeOpened(const std::string& path) {
  struct stat info = {};
  const std::string owner =
      ::stat(path.c_str(), &info) == 0
          ? absl::StrFormat(": it has mode %04o and is user %d's",
                            info.st_mode & 07777, info.st_uid)
          : "";
  return Failed(
      absl::StrCat("this user may not open the socket ", path, owner),
      "Call as that user; or have the service listen on TCP as well "
      "(--listen=unix:...,HOST:PORT), where a token or a certificate says who "
      "calls");
}

std::optional<HealthCheck> CheckSocket(const std::string& path) {
  const int error = DialSocket(path);
  if (error == 0) return std::nullopt;
  struct stat info = {};
  if (error == ENOENT) {
    return Failed(absl::StrCat("there is no socket ", path),
                  absl::StrCat("Start the service (systemctl start "
                               "container-builder, or container-builderd "
                               "--listen=unix://",
                               path, " --state_dir=DIR), or ", kOtherAddress));
  }
  if (error == EACCES || error == EPERM) return SocketThatMayNotBeOpened(path);
  if (::stat(path.c_str(), &info) == 0 && !S_ISSOCK(info.st_mode)) {
    return Failed(absl::StrCat(path, " is no socket"),
                  absl::StrCat("Correct the address, or ", kOtherAddress));
  }
  if (error == ECONNREFUSED) {
    return Failed(absl::StrCat("nobody listens on the socket ", path,
                               " any more: the service has stopped"),
                  "Start it again (systemctl start container-builder); its log "
                  "says why it stopped (journalctl -u container-builder)");
  }
  return Failed(
      absl::StrCat("cannot connect to ", path, ": ", ErrorText(error)), "");
}

std::optional<HealthCheck> CheckHost(const std::string& address) {
  const DialResult result = DialHost(address);
  if (result.error == 0) return std::nullopt;
  if (!result.name_error.empty()) {
    return Failed(absl::StrCat("the host of ", address,
                               " cannot be found: ", result.name_error),
                  absl::StrCat("Correct the name, or ", kOtherAddress));
  }
  if (result.error == ECONNREFUSED) {
    return Failed(
        absl::StrCat("nobody listens at ", address),
        absl::StrCat("Check the port, and that the service listens on that "
                     "address of its machine (--listen), or ",
                     kOtherAddress));
  }
  return Failed(
      absl::StrCat("cannot connect to ", address, ": ",
                   ErrorText(result.error)),
      "Check that the machine is up, and that no firewall is in between");
}

// Of gRPC's words and OpenSSL's, which are not the same in all releases.
bool Says(const absl::Status& status, absl::string_view words) {
  return absl::StrContains(absl::AsciiStrToLower(status.message()), words);
}

bool IsUntrusted(const absl::Status& status) {
  return Says(status, "certificate verify failed") ||
         Says(status, "certificate_verify_failed");
}

// Whether who listens there speaks TLS.
bool SpeaksTls(client::ClientOptions options) {
  options.tls = client::TlsOptions();
  options.token.clear();
  const absl::Status status = client::Client(options).Health().status();
  return !absl::IsUnavailable(status) || IsUntrusted(status);
}

HealthCheck CheckTls(const absl::Status& called,
                     const client::ClientOptions& options) {
  const std::string message(called.message());
  if (!options.tls) {
    if (SpeaksTls(options)) {
      return Failed("the service speaks TLS, and was called in the clear",
                    "Name who signed its certificate by --tls-ca=FILE, or say "
                    "--tls where that is one of the machine's authorities");
    }
    return Failed(
        absl::StrCat("something listens there and hangs up: ", message),
        absl::StrCat("Check that it is a ContainerBuilder service, or ",
                     kOtherAddress));
  }
  if (IsUntrusted(called)) {
    return Failed(
        options.tls->ca_file.empty()
            ? "the service's certificate is signed by none of the machine's "
              "authorities"
            : absl::StrCat("the service's certificate is not signed by ",
                           options.tls->ca_file, ", or has expired"),
        "Name who signed it by --tls-ca=FILE; on the service's machine, "
        "`openssl x509 -noout -issuer -dates -in CERTIFICATE` tells");
  }
  if (Says(called, "wrong version number")) {
    return Failed("the service does not speak TLS",
                  "Leave --tls and its like away; or give the service a "
                  "certificate (--tls_cert, --tls_key)");
  }
  if (Says(called, "not in peer certificate") ||
      Says(called, "hostname verification")) {
    return Failed(
        absl::StrCat("the service's certificate is another name's: ", message),
        "Call it by a name that its certificate has, or say that by "
        "--tls-server-name=NAME");
  }
  if (options.tls->cert_file.empty()) {
    return Failed(absl::StrCat("the service ended TLS's handshake: ", message),
                  "It may ask for a certificate of yours: --tls-cert=FILE "
                  "--tls-key=FILE");
  }
  return Failed(
      absl::StrCat("the service ended TLS's handshake: ", message),
      "It may not know who signed your certificate (--tls_client_ca)");
}

HealthCheck CheckUnavailable(const absl::Status& called,
                             const client::ClientOptions& options) {
  const std::optional<std::string> path = SocketPath(options.address);
  const std::optional<HealthCheck> problem =
      path ? CheckSocket(*path) : CheckHost(options.address);
  return problem ? *problem : CheckTls(called, options);
}

HealthCheck CheckUnauthenticated(const client::ClientOptions& options) {
  if (options.token.empty() &&
      (!options.tls || options.tls->cert_file.empty())) {
    return Failed("the service wants to know who calls, and was not told",
                  "Give your token by --token-file=FILE or "
                  "CONTAINER_BUILDER_TOKEN");
  }
  return Failed(
      options.token.empty() ? "the service does not know your certificate"
                            : "the service does not know your token",
      "Ask its operator for another; its SHA-256 has to stand in the service's "
      "--callers_file");
}

std::string Described(const client::ClientOptions& options) {
  return absl::StrCat(
      options.address, options.tls ? ", over TLS" : ", in the clear",
      options.tls && !options.tls->cert_file.empty() ? ", with a certificate"
                                                     : "",
      options.token.empty() ? "" : ", with a token");
}

}  // namespace

HealthCheck CheckConnection(const absl::Status& called,
                            const client::ClientOptions& options) {
  const std::string message(called.message());
  switch (called.code()) {
    case absl::StatusCode::kOk:
      return Row("connection", HealthCheck::STATE_OK, Described(options));
    case absl::StatusCode::kUnavailable:
      return CheckUnavailable(called, options);
    case absl::StatusCode::kUnauthenticated:
      return CheckUnauthenticated(options);
    case absl::StatusCode::kPermissionDenied:
      return Failed(absl::StrCat("the service refuses you: ", message),
                    "Ask its operator for another role in --callers_file");
    case absl::StatusCode::kUnimplemented:
      return Failed(
          absl::StrCat("who listens at ", options.address,
                       " is no ContainerBuilder service, or an older one"),
          absl::StrCat("Correct the address, or ", kOtherAddress));
    case absl::StatusCode::kDeadlineExceeded:
      return Failed(
          absl::StrCat("who listens at ", options.address, " does not answer"),
          "Check that it is a ContainerBuilder service; its log may "
          "say what it waits for");
    case absl::StatusCode::kResourceExhausted:
      return Failed(absl::StrCat("the service is busy: ", message),
                    "Call less often, or wait");
    default:
      return Failed(message, "");
  }
}

HealthCheck CheckTrust(client::Client& client) {
  constexpr absl::string_view kName = "trust";
  v1::BuildOptions question;
  // Written shorter where the service tells of it.
  question.mutable_build_arg()->set_text("/.");
  const auto answer = client.ConstructArgs(question);
  if (!answer.ok()) {
    return Row(kName, HealthCheck::STATE_SKIPPED, answer.status().message());
  }
  const bool is_trusted = answer->args_size() > 1 && answer->args(1) == "/";
  return Row(kName, HealthCheck::STATE_OK,
             is_trusted
                 ? "you may name paths of the service's machine"
                 : "you may name no paths of the service's machine but those "
                   "that it allows; contexts are uploaded");
}

}  // namespace containerbuilder::cli
