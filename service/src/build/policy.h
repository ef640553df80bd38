#ifndef CONTAINERBUILDER_BUILD_POLICY_H_
#define CONTAINERBUILDER_BUILD_POLICY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "build/caller.h"
#include "build/host.h"
#include "build/nerdctl_args.h"
#include "build/toolchain.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// The operator's rules.
struct PolicyOptions {
  // Folders that untrusted callers may read from and write to; absolute.
  std::vector<std::string> read_roots;
  std::vector<std::string> write_roots;
};

// A request that the policy let through: the proof that a command needs. Only
// Policy makes one.
class AdmittedSpec {
 public:
  // What was asked for, as it will run.
  const v1::BuildSpec& spec() const { return spec_; }
  // How; durations are set, defaults filled in.
  const v1::BuildPolicy& policy() const { return policy_; }
  // Exactly ConstructArgs of spec().options().
  const std::vector<std::string>& args() const { return args_; }
  // Absolute; the context.
  const std::string& working_folder() const { return working_folder_; }
  // SOURCE_DATE_EPOCH and the like, `NAME=VALUE`.
  const std::vector<std::string>& environment() const { return environment_; }
  const NerdctlInfo& nerdctl() const { return nerdctl_; }
  absl::Duration grace_period() const { return grace_period_; }
  // absl::InfiniteDuration() where there is no limit.
  absl::Duration timeout() const { return timeout_; }

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
};

// Decides what may run, before anything is started. Thread-safe: it has no
// state.
class Policy {
 public:
  Policy(PolicyOptions options, Host host);

  // The rules for everyone, and for a caller who is not trusted those about
  // options and paths. Only asks the file system what exists. `request_field`
  // prefixes the fields that errors name: `spec`, `policy` and so on are
  // relative to the request message.
  absl::StatusOr<AdmittedSpec> Admit(const v1::BuildSpec& spec,
                                     const v1::BuildPolicy& policy,
                                     const Caller& caller,
                                     const NerdctlInfo& nerdctl) const;

  // How ConstructArgs resolves texts for this caller: untrusted ones learn of
  // names under their roots only.
  PathRules PathRulesFor(const Caller& caller) const;

  // One sentence for each rule of Build that these options break and each
  // flag that nerdctl lacks; `nerdctl` may be null where it is not known.
  std::vector<std::string> Warnings(const v1::BuildOptions& options,
                                    const Caller& caller,
                                    const NerdctlInfo* nerdctl) const;

 private:
  const PolicyOptions options_;
  const Host host_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_POLICY_H_
