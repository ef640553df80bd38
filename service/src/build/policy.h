#ifndef CONTAINERBUILDER_BUILD_POLICY_H_
#define CONTAINERBUILDER_BUILD_POLICY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "build/host.h"
#include "build/nerdctl_args.h"
#include "build/toolchain.h"
#include "containerbuilder/service/caller.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// The operator's rules.
struct PolicyOptions {
  // Folders that untrusted callers may read from and write to; absolute.
  std::vector<std::string> read_roots;
  std::vector<std::string> write_roots;
  // Whether a request may have its secrets in the output.
  bool allow_secrets_in_output = false;
};

class Violations;

// A request that the policy let through: the proof that a command needs. Only
// Policy makes one.
class AdmittedSpec {
 public:
  // What was asked for, as it will run.
  const v1::BuildSpec& spec() const { return spec_; }
  // How; durations are set, defaults filled in.
  const v1::BuildPolicy& policy() const { return policy_; }
  // Exactly ConstructArgs of spec().options(), with the files of its secrets
  // added.
  const std::vector<std::string>& args() const { return args_; }
  // Absolute; the context.
  const std::string& working_folder() const { return working_folder_; }
  // SOURCE_DATE_EPOCH and the like, and where its credentials are,
  // `NAME=VALUE`.
  const std::vector<std::string>& environment() const { return environment_; }
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
  NerdctlInfo nerdctl_;
  absl::Duration grace_period_;
  absl::Duration timeout_;
  absl::Duration queue_ttl_;
  absl::Duration linger_;
};

// Decides what may run, before anything is started. Thread-safe: it does not
// change. Only asks the file system what exists.
class Policy {
 public:
  // Roots that do not exist now match nothing.
  Policy(const PolicyOptions& options, Host host);

  // The rules for everyone, and for a caller who is not trusted those about
  // options and paths. The fields that errors name are those of BuildRequest.
  // `policy` names a disconnect policy: its default depends on the RPC.
  // `secret_folder` is where the build will find what it has by value.
  absl::StatusOr<AdmittedSpec> Admit(
      const v1::BuildSpec& spec, const v1::BuildPolicy& policy,
      const Caller& caller, const NerdctlInfo& nerdctl,
      absl::string_view secret_folder = "") const;

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
  struct Root {
    std::string name;      // as the operator wrote it, normalised
    std::string resolved;  // with no links left
  };

  // All that Build refuses about options. `field` is their path in the
  // request; `flags` and `environment` are what would reach nerdctl.
  void CheckOptions(const v1::BuildOptions& options,
                    absl::Span<const WrittenFlag> flags,
                    absl::Span<const std::string> environment,
                    absl::string_view field, const Caller& caller,
                    const NerdctlInfo* nerdctl, Violations& violations) const;
  absl::Status CheckContext(const std::string& path, absl::string_view field,
                            const Caller& caller) const;
  // The rules for values of a caller who is not trusted.
  absl::Status CheckUntrustedValues(const WrittenFlag& flag,
                                    const std::string& context) const;

  // The folder that the context `path` names.
  std::string ContextFolder(const std::string& path) const;

  // Whether `path`, absolute, exists and is under a root: as it is spelled and
  // after links are resolved.
  bool IsUnderRoots(const std::string& path) const;

  std::vector<Root> roots_;
  const bool allow_secrets_in_output_;
  const Host host_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_POLICY_H_
