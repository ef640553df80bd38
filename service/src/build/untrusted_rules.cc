#include "build/untrusted_rules.h"

#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "build/artifact_rules.h"
#include "build/command_line.h"
#include "build/grammar.h"
#include "build/image_reference.h"
#include "build/syntax_directive.h"
#include "build/untrusted_option.h"

namespace containerbuilder::service {
namespace {

absl::flat_hash_set<std::string> FlagNames(
    const std::vector<std::string>& options) {
  absl::flat_hash_set<std::string> names;
  for (const std::string& option : options) names.insert(FlagName(option));
  return names;
}

}  // namespace

UntrustedRules::UntrustedRules(const PolicyOptions& options,
                               const std::vector<std::string>& closed)
    : options_(options),
      allowed_options_(FlagNames(options.allowed_options)),
      readable_(
          [&] {
            // Who may write there may look at it.
            std::vector<std::string> roots = options.read_roots;
            roots.insert(roots.end(), options.write_roots.begin(),
                         options.write_roots.end());
            return roots;
          }(),
          closed),
      writable_(options.write_roots, closed) {}

absl::Status UntrustedRules::ApplyToContext(const std::string& folder,
                                            absl::string_view field,
                                            const StagingPlace& staging,
                                            StagingPlan& plan) const {
  StagedInput input;
  input.kind = StagedInput::Kind::kFolder;
  input.field = std::string(field);
  input.name = "context";
  if (!staging.filled) {
    std::optional<PlaceInRoot> place = readable_.Find(folder);
    if (!place) return errors::PathRefused(field, "the context");
    input.place = *std::move(place);
  } else if (!readable_.Names(folder)) {
    return errors::PathRefused(field, "the context");
  }
  plan.inputs.push_back(std::move(input));
  return absl::OkStatus();
}

absl::Status UntrustedRules::Apply(WrittenFlag& flag, const Request& request,
                                   StagingPlan& plan) const {
  const bool has_rules = HasOptionRules(flag.name);
  if (has_rules &&
      (Allows(flag.name) || (request.uploaded && MayComeBack(flag.name)))) {
    return ApplyOptionRules(*this, request, flag, plan);
  }
  std::vector<std::string> allowed(allowed_options_.begin(),
                                   allowed_options_.end());
  absl::c_sort(allowed);
  return errors::OptionNotAllowed(
      flag.field,
      absl::StrCat("untrusted callers may not use --", Shortened(flag.name),
                   "; they may use ", absl::StrJoin(allowed, ", "),
                   has_rules ? ", and more where the operator names it in "
                               "--allowed_options"
                             : ""),
      has_rules ? "--allowed_options" : "");
}

absl::Status UntrustedRules::CheckFrontend(absl::string_view frontend,
                                           absl::string_view field) const {
  if (AllowsAnyFrontend() || IsFrontend(frontend)) return absl::OkStatus();
  const auto reference = ReadImageReference(frontend);
  const std::string name =
      reference ? reference->Short() : std::string(frontend);
  return errors::OptionNotAllowed(
      field,
      absl::StrCat("untrusted callers may not build with the frontend \"",
                   Shortened(name),
                   "\" (the syntax line of the Dockerfile, or "
                   "BUILDKIT_SYNTAX); they may use ",
                   absl::StrJoin(options_.allowed_frontends, ", "),
                   " (--allowed_frontends)"),
      "--allowed_frontends");
}

bool UntrustedRules::IsFrontend(absl::string_view name) const {
  const auto reference = ReadImageReference(name);
  return !AllowsAnyFrontend() && reference &&
         MatchesAny(reference->Short(), options_.allowed_frontends);
}

bool UntrustedRules::AllowsAnyFrontend() const {
  return absl::c_linear_search(options_.allowed_frontends, "*");
}

absl::Status UntrustedRules::CheckDockerfile(absl::string_view text,
                                             absl::string_view field) const {
  const SyntaxDirectives directives = FindSyntaxDirectives(text);
  for (const std::string& frontend : directives.frontends) {
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckFrontend(frontend, field));
  }
  if (!directives.is_json || AllowsAnyFrontend()) return absl::OkStatus();
  return errors::OptionNotAllowed(
      field,
      "a Dockerfile in JSON names a frontend of its own, which untrusted "
      "callers may only where --allowed_frontends is *",
      "--allowed_frontends");
}

}  // namespace containerbuilder::service
