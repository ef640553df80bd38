#ifndef CONTAINERBUILDER_BUILD_UNTRUSTED_RULES_H_
#define CONTAINERBUILDER_BUILD_UNTRUSTED_RULES_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "build/nerdctl_args.h"
#include "build/roots.h"
#include "build/staging.h"
#include "containerbuilder/service/policy_options.h"

namespace containerbuilder::service {

// Where the copies of a build's inputs are, or will be.
struct StagingPlace {
  std::string folder;   // absolute
  bool filled = false;  // they are there: what they were copied from may not be
};

// What callers who are not trusted may do with options, and how these run: of
// every path a copy. Thread-safe: it does not change.
class UntrustedRules {
 public:
  // `options` are valid; see ValidatePolicyOptions. `closed` is never opened
  // to anybody: the service's own folders.
  UntrustedRules(const PolicyOptions& options,
                 const std::vector<std::string>& closed);

  const PolicyOptions& options() const { return options_; }
  const Roots& readable() const { return readable_; }
  const Roots& writable() const { return writable_; }
  bool Allows(absl::string_view flag) const {
    return allowed_options_.contains(flag);
  }

  // The rule that the context breaks; else it goes on the plan. `folder` is
  // what it names.
  absl::Status ApplyToContext(const std::string& folder,
                              absl::string_view field,
                              const StagingPlace& staging,
                              StagingPlan& plan) const;

  // What is the same for all flags of a request.
  struct Request {
    std::string context;  // the folder: paths of options start there
    StagingPlace staging;
    absl::Span<const WrittenFlag> flags;  // as they were sent
    // The context is an uploaded one: what is in it may be named, and what is
    // written comes back.
    bool uploaded = false;
  };
  // The rule that `flag` breaks; else its values are made what is to run, and
  // what they name goes on the plan.
  absl::Status Apply(WrittenFlag& flag, const Request& request,
                     StagingPlan& plan) const;

  // Whether an image may be a build's frontend.
  absl::Status CheckFrontend(absl::string_view frontend,
                             absl::string_view field) const;

  // Whether a build context of this name would be used in the place of a
  // frontend that CheckFrontend lets through for its name.
  bool IsFrontend(absl::string_view name) const;

  // Whether a Dockerfile may ask for the frontends that it does.
  absl::Status CheckDockerfile(absl::string_view text,
                               absl::string_view field) const;

 private:
  bool AllowsAnyFrontend() const;

  const PolicyOptions options_;
  const absl::flat_hash_set<std::string> allowed_options_;
  const Roots readable_;
  const Roots writable_;
};

// What no PolicyOptions may be; errors name the setting.
absl::Status ValidatePolicyOptions(const PolicyOptions& options);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_UNTRUSTED_RULES_H_
