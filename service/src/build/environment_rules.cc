#include "build/environment_rules.h"

#include <cstdint>
#include <map>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/errors.h"
#include "base/limits.h"
#include "build/command_line.h"

namespace containerbuilder::service {
namespace {

bool IsHex(absl::string_view text) {
  return absl::c_all_of(text, [](const char c) {
    return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
  });
}

// https://www.w3.org/TR/trace-context/#traceparent-header
bool IsTraceParent(absl::string_view value) {
  const std::vector<absl::string_view> parts = absl::StrSplit(value, '-');
  const auto is_zero = [](absl::string_view id) {
    return absl::c_all_of(id, [](const char c) { return c == '0'; });
  };
  return parts.size() == 4 && absl::c_all_of(parts, IsHex) &&
         parts[0].size() == 2 && parts[0] != "ff" && parts[1].size() == 32 &&
         !is_zero(parts[1]) && parts[2].size() == 16 && !is_zero(parts[2]) &&
         parts[3].size() == 2;
}

absl::Status CheckVariable(absl::string_view name, absl::string_view value,
                           absl::Span<const std::string> allowed) {
  const std::string field =
      absl::StrCat("spec.environment[", Shortened(name), "]");
  if (value.size() + name.size() + 1 > limits::kMaxArgumentBytes) {
    return errors::OptionInvalid(
        field, absl::StrCat("the system takes variables of at most ",
                            limits::kMaxArgumentBytes, " bytes with name"));
  }
  if (name == "SOURCE_DATE_EPOCH") {
    int64_t ignored;
    if (absl::c_all_of(value, absl::ascii_isdigit) &&
        absl::SimpleAtoi(value, &ignored)) {
      return absl::OkStatus();
    }
    return errors::OptionInvalid(
        field, "SOURCE_DATE_EPOCH is a count of seconds in decimal digits");
  }
  if (name == "TRACEPARENT") {
    if (IsTraceParent(value)) return absl::OkStatus();
    return errors::OptionInvalid(
        field,
        "TRACEPARENT has the form of W3C Trace Context, "
        "00-<32 hex digits>-<16 hex digits>-<2 hex digits>");
  }
  if (name == "TRACESTATE") {
    if (absl::c_all_of(value, absl::ascii_isprint)) return absl::OkStatus();
    return errors::OptionInvalid(field, "TRACESTATE is printable ASCII");
  }
  if (absl::c_linear_search(allowed, name)) {
    if (!absl::StrContains(value, '\0')) return absl::OkStatus();
    return errors::OptionInvalid(field, "a variable cannot hold a NUL byte");
  }
  const bool may_be_allowed = MayBeAllowed(name);
  return errors::OptionNotAllowed(
      field,
      absl::StrCat("a build may set SOURCE_DATE_EPOCH, TRACEPARENT and "
                   "TRACESTATE; ",
                   may_be_allowed
                       ? "others only where the operator names them in "
                         "--allowed_environment"
                       : "this one is the operator's alone"),
      may_be_allowed ? "--allowed_environment" : "");
}

}  // namespace

bool MayBeAllowed(absl::string_view variable) {
  // The service sets these, or they choose programs, configurations, hosts and
  // policies for nerdctl and what it starts.
  constexpr absl::string_view kNever[] = {
      "PATH",         "HOME",     "TMPDIR",      "XDG_RUNTIME_DIR",
      "NERDCTL_TOML", "CNI_PATH", "NETCONFPATH", "CONTAINER_BUILDER_BUILD",
      "SSLKEYLOGFILE"};
  constexpr absl::string_view kNeverBegins[] = {"LD_",
                                                "DOCKER_",
                                                "BUILDKIT_",
                                                "BUILDCTL_",
                                                "CONTAINERD_",
                                                "NERDCTL_",
                                                "EXPERIMENTAL_BUILDKIT_",
                                                "GODEBUG",
                                                "GOCOVERDIR"};
  return !variable.empty() && !absl::ascii_isdigit(variable[0]) &&
         absl::c_all_of(
             variable,
             [](char c) { return absl::ascii_isalnum(c) || c == '_'; }) &&
         !absl::c_linear_search(kNever, variable) &&
         absl::c_none_of(kNeverBegins, [&](absl::string_view prefix) {
           return absl::StartsWith(variable, prefix);
         });
}

std::vector<std::string> ReadEnvironment(const v1::BuildSpec& spec,
                                         absl::Span<const std::string> allowed,
                                         Violations& violations) {
  const std::map<std::string, std::string> sorted(spec.environment().begin(),
                                                  spec.environment().end());
  std::vector<std::string> environment;
  for (const auto& [name, value] : sorted) {
    violations.Add(CheckVariable(name, value, allowed));
    environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

}  // namespace containerbuilder::service
