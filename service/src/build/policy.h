#ifndef CONTAINERBUILDER_BUILD_POLICY_H_
#define CONTAINERBUILDER_BUILD_POLICY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "build/host.h"
#include "build/nerdctl_args.h"
#include "build/staging.h"
#include "build/toolchain.h"
#include "build/untrusted_rules.h"
#include "build/violations.h"
#include "containerbuilder/service/caller.h"
#include "containerbuilder/service/policy_options.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// A request that the policy let through: the proof that a command needs. Only
// Policy makes one.
class AdmittedSpec {
 public:
  // What was asked for, as it will run.
  const v1::BuildSpec& spec() const { return spec_; }
  // How; durations are set, defaults filled in.
  const v1::BuildPolicy& policy() const { return policy_; }
  // Exactly ConstructArgs of spec().options(); where the caller is not trusted,
  // with the copies of staging() in the places of what they name. The files of
  // its secrets are added.
  const std::vector<std::string>& args() const { return args_; }
  // Absolute; the context.
  const std::string& working_folder() const { return working_folder_; }
  // SOURCE_DATE_EPOCH and the like, and where its credentials are,
  // `NAME=VALUE`.
  const std::vector<std::string>& environment() const { return environment_; }
  // What has to be copied before it can run, and after it ran.
  const StagingPlan& staging() const { return staging_; }
  const NerdctlInfo& nerdctl() const { return nerdctl_; }
  absl::Duration grace_period() const { return grace_period_; }
  // These two: absl::InfiniteDuration() where there is no limit.
  absl::Duration timeout() const { return timeout_; }
  absl::Duration queue_ttl() const { return queue_ttl_; }
  // With DISCONNECT_POLICY_LINGER.
  absl::Duration linger() const { return linger_; }

 private:
  friend class Policy;
  AdmittedSpec() = default;

  v1::BuildSpec spec_;
  v1::BuildPolicy policy_;
  std::vector<std::string> args_;
  std::string working_folder_;
  std::vector<std::string> environment_;
  StagingPlan staging_;
  std::string dockerfile_folder_;
  NerdctlInfo nerdctl_;
  absl::Duration grace_period_;
  absl::Duration timeout_;
  absl::Duration queue_ttl_;
  absl::Duration linger_;
};

// Decides what may run, before anything is started. Thread-safe: it does not
// change. Only asks the file system what exists, and reads Dockerfiles that
// were staged.
class Policy {
 public:
  // `closed_folders` are the service's own, which no caller who is not trusted
  // gets at, whatever the roots are. Errors name the setting.
  static absl::StatusOr<std::shared_ptr<const Policy>> Create(
      const PolicyOptions& options, Host host,
      const std::vector<std::string>& closed_folders);

  // The rules for everyone, and for a caller who is not trusted those about
  // options and paths. The fields that errors name are those of BuildRequest.
  // `policy` names a disconnect policy: its default depends on the RPC. What
  // the plan says is to be staged at `staging`, and CheckStaged then;
  // `secret_folder` is where the build will find what it has by value.
  absl::StatusOr<AdmittedSpec> Admit(
      const v1::BuildSpec& spec, const v1::BuildPolicy& policy,
      const Caller& caller, const NerdctlInfo& nerdctl,
      const StagingPlace& staging, absl::string_view secret_folder = "") const;

  // The rules about what was staged in `folder`: that what options name of an
  // uploaded context is there and is no link out of it, that no cache has
  // links, and, for a caller who is not trusted, what is in Dockerfiles. The
  // bytes that are read are those that are used.
  absl::Status CheckStaged(const AdmittedSpec& spec, const std::string& folder,
                           const Caller& caller) const;

  // What a copy may take, of a build that is admitted or ends.
  std::int64_t max_staged_bytes() const { return options_.max_staged_bytes; }
  std::int64_t max_staged_files() const { return options_.max_staged_files; }

  // How ConstructArgs resolves texts for this caller: untrusted ones learn of
  // names under their roots only. Not to be used after the policy is gone.
  PathRules PathRulesFor(const Caller& caller) const;

  // One sentence for each rule of Build that these options break, each flag
  // that nerdctl lacks and each value that it ignores; `nerdctl` may be null
  // where it is not known. The fields are those of ConstructArgsRequest.
  std::vector<std::string> Warnings(const v1::BuildOptions& options,
                                    const Caller& caller,
                                    const NerdctlInfo* nerdctl) const;

 private:
  Policy(const PolicyOptions& options, Host host,
         const std::vector<std::string>& closed_folders);

  // Options as they are to run.
  struct Reading {
    std::vector<WrittenFlag> flags;
    std::string context;  // what stands on the command line
    std::string folder;   // absolute
    StagingPlan staging;
    // Where in a staged context nerdctl looks for a Dockerfile where none is
    // named; empty: there is none.
    std::string dockerfile_folder;
  };
  // All that Build refuses about options goes into `violations`. `field` is
  // their path in the request; `flags` and `environment` are what would reach
  // nerdctl.
  Reading Read(const v1::BuildOptions& options,
               absl::Span<const WrittenFlag> flags,
               absl::Span<const std::string> environment,
               absl::string_view field, const Caller& caller,
               const NerdctlInfo* nerdctl, const StagingPlace& staging,
               absl::string_view context_digest, Violations& violations) const;
  absl::Status CheckDockerfileAt(const std::string& folder,
                                 const std::string& name,
                                 absl::string_view field) const;
  absl::Status CheckPart(const ContextPart& part,
                         const std::string& folder) const;
  absl::Status CheckContext(const std::string& path, absl::string_view field,
                            const Caller& caller, const StagingPlace& staging,
                            StagingPlan& plan) const;

  // The folder that the context `path` names.
  std::string ContextFolder(const std::string& path) const;

  const PolicyOptions options_;
  const Host host_;
  const UntrustedRules untrusted_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_POLICY_H_
