#ifndef CONTAINERBUILDER_BUILD_SECRETS_H_
#define CONTAINERBUILDER_BUILD_SECRETS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "build/nerdctl_args.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "secrets/secret_folder.h"

// What a request has by value and nobody is to see: secrets, and passwords of
// registries. Both become files that nerdctl is told of.
namespace containerbuilder::service {

bool HasSecrets(const v1::BuildSpec& spec);

// The first rule that they break.
absl::Status CheckSecrets(const v1::BuildSpec& spec);

// The files of a build.
std::vector<SecretFile> SecretFilesOf(const v1::BuildSpec& spec);

// Adds to what its options write, as if `secret` had an entry more for each
// of its secrets; its files are in `folder`.
void AddSecretFiles(const v1::BuildSpec& spec, absl::string_view folder,
                    std::vector<WrittenFlag>& flags);

// The environment of a spec whose files are in `folder`.
std::vector<std::string> SecretEnvironment(const v1::BuildSpec& spec,
                                           absl::string_view folder);

// What its output must not show.
std::vector<std::string> RevealingTextsOf(const v1::BuildSpec& spec);

// What the caller should know about them, a sentence each.
std::vector<std::string> SecretWarnings(const v1::BuildSpec& spec);

// The same spec without the values.
v1::BuildSpec WithoutSecrets(v1::BuildSpec spec);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_SECRETS_H_
