#include "global_flags.h"

#include <fstream>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "surroundings.h"

namespace containerbuilder::cli {
namespace {

using Kind = Flag::Kind;
using Path = Flag::Path;

constexpr Flag Global(Kind kind, Path path, std::string_view name,
                      std::string_view variable, std::string_view help) {
  return {{name, '\0', kind, path, "", help}, nullptr, variable};
}

constexpr Flag kFlags[] = {
    Global(Kind::kText, Path::kNone, "address", "CONTAINER_BUILDER_ADDRESS",
           "Where the service listens: unix:///path/to.sock or host:port"),
    kHelpFlag,
    Global(Kind::kSwitch, Path::kNone, "tls", "CONTAINER_BUILDER_TLS",
           "Use TLS; any of the following does so, too"),
    Global(Kind::kText, Path::kWhole, "tls-ca", "CONTAINER_BUILDER_TLS_CA",
           "Who signed the service's certificate (PEM); without it, the "
           "machine's authorities"),
    Global(Kind::kText, Path::kWhole, "tls-cert", "CONTAINER_BUILDER_TLS_CERT",
           "Your certificate (PEM), where the service asks for one"),
    Global(Kind::kText, Path::kWhole, "tls-key", "CONTAINER_BUILDER_TLS_KEY",
           "Its key (PEM)"),
    Global(Kind::kText, Path::kNone, "tls-server-name",
           "CONTAINER_BUILDER_TLS_SERVER_NAME",
           "The name in the service's certificate, where it is not the "
           "address's"),
    Global(Kind::kText, Path::kWhole, "token-file",
           "CONTAINER_BUILDER_TOKEN_FILE",
           "Your token; CONTAINER_BUILDER_TOKEN has it by value"),
    OwnFlag(Kind::kSwitch, "version", '\0', "Print the version"),
};

// The first line of a file.
std::optional<std::string> ReadToken(const std::string& path) {
  std::ifstream file(path);
  std::string token;
  if (!std::getline(file, token) || token.empty()) return std::nullopt;
  if (token.back() == '\r') token.pop_back();
  return token;
}

// As more programs take them than flags do.
std::optional<bool> ParseSwitch(absl::string_view value) {
  bool on = false;
  if (absl::SimpleAtob(value, &on)) return on;
  if (absl::EqualsIgnoreCase(value, "on")) return true;
  if (absl::EqualsIgnoreCase(value, "off")) return false;
  return std::nullopt;
}

// Adds what is not given and has a variable.
absl::Status AddVariables(CommandLine& line) {
  for (const Flag& flag : kFlags) {
    if (flag.variable.empty() || ValueOf(line, flag.name)) continue;
    const std::string name(flag.variable);
    std::optional<std::string> value = Variable(name);
    if (!value) continue;
    if (flag.kind == Kind::kSwitch) {
      const std::optional<bool> on = ParseSwitch(*value);
      if (!on) {
        return absl::InvalidArgumentError(
            absl::StrCat(name, "=", *value, ": neither true nor false"));
      }
      value = *on ? "true" : "false";
    }
    line.flags.push_back({flag, *std::move(value)});
  }
  return absl::OkStatus();
}

}  // namespace

std::span<const Flag> GlobalFlags() { return kFlags; }

absl::StatusOr<CommandLine> SplitProgramLine(
    std::span<const std::string> arguments) {
  return SplitCommandLine(arguments, kFlags, Arguments::kLast);
}

absl::StatusOr<client::ClientOptions> ClientOptionsOf(
    const CommandLine& given) {
  CommandLine line = given;
  const absl::Status status = AddVariables(line);
  if (!status.ok()) return status;

  client::ClientOptions options;
  options.address = ValueOf(line, "address").value_or(options.address);
  if (options.address.find(':') == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("not an address: \"", options.address,
                     "\"; use unix:///path/to.sock or host:port"));
  }

  client::TlsOptions tls = {
      .ca_file = ValueOf(line, "tls-ca").value_or(""),
      .cert_file = ValueOf(line, "tls-cert").value_or(""),
      .key_file = ValueOf(line, "tls-key").value_or(""),
      .server_name = ValueOf(line, "tls-server-name").value_or("")};
  if (IsOn(line, "tls") || !tls.ca_file.empty() || !tls.cert_file.empty() ||
      !tls.key_file.empty() || !tls.server_name.empty()) {
    options.tls = std::move(tls);
  }

  const std::string token_file = ValueOf(line, "token-file").value_or("");
  if (token_file.empty()) {
    options.token = Variable(kTokenVariable).value_or("");
  } else if (auto token = ReadToken(token_file)) {
    options.token = *std::move(token);
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "--token-file=", token_file, ": cannot be read, or is empty"));
  }

  // Who calls by hand wants to know at once that nobody listens.
  options.wait_for_ready = false;
  return options;
}

}  // namespace containerbuilder::cli
