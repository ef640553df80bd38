#ifndef CONTAINERBUILDER_SERVICE_POLICY_OPTIONS_H_
#define CONTAINERBUILDER_SERVICE_POLICY_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace containerbuilder::service {

// What requests may do. Most is about callers who are not trusted: trusted ones
// may do all of it. With the defaults the others can build nothing but what
// lies under the roots, and reach nothing that the options of nerdctl build
// reach by themselves. What FROM, ADD and RUN reach is not decided here: that
// is a matter of buildkitd's network.
//
// Where a list takes patterns, `*` stands for any characters. Errors name a
// field as container-builderd names its flag: `--read_roots`.
struct PolicyOptions {
  // Folders of this machine, absolute, that callers may read contexts, files,
  // caches and secrets from. Contents are copied into state_dir, and builds
  // run from there. One that is not there yet opens nothing.
  std::vector<std::string> read_roots;
  // Folders, absolute, that outputs, caches and iidfiles may be written to, by
  // a copy at the end of a build that succeeded.
  std::vector<std::string> write_roots;

  // All options that callers may use, named as nerdctl build's flags. The
  // default ones reach no file, host or right of the server by themselves.
  // Others come with rules of their own: their paths must be under the roots,
  // and the lists below say what they may name. The build arguments
  // BUILDKIT_ATTEST_... and BUILDKIT_INLINE_CACHE are attest and cache-to by
  // other names, and go with them; of the others that begin with BUILDKIT_
  // callers may send those that concern their own build alone.
  std::vector<std::string> allowed_options = {
      "build-arg", "file", "label", "network", "no-cache", "platform",
      "progress",  "pull", "quiet", "tag",     "target"};
  // Values of the option `allow`. `network=host` needs both network.host and
  // security.insecure, because nerdctl adds both.
  std::vector<std::string> allowed_entitlements;
  // Values of the option `network`.
  std::vector<std::string> allowed_networks = {"default", "none"};
  // What the option `ssh` may name: ids, and sockets and keys by path. None:
  // a step with an agent can sign as whoever started it.
  std::vector<std::string> allowed_ssh;
  // Registries by host, `docker.io` or `registry.example:5000`, that outputs
  // may be pushed to, that caches, build contexts and sbom generators may be
  // in, and that tags may name; tags of docker.io, which is meant where a tag
  // names no host, need no leave.
  std::vector<std::string> allowed_registries;
  // Patterns of the names that images may be given, in their short form with
  // the tag: `app:1`, `team/app:latest`, `registry.example/app:1`.
  std::vector<std::string> allowed_tags = {"*"};
  // Variables of nerdctl's environment that a request may set besides
  // SOURCE_DATE_EPOCH, TRACEPARENT and TRACESTATE; for trusted callers, too.
  std::vector<std::string> allowed_environment;
  // Requests, of trusted callers too, may ask that their secrets stay in the
  // output that watchers see.
  bool allow_secrets_in_output = false;
  // Values of the option `buildkit-host`.
  std::vector<std::string> allowed_buildkit_hosts;
  // Patterns of the images that `# syntax=` and the build_arg BUILDKIT_SYNTAX
  // may name, in their short form with the tag. A frontend runs in buildkitd,
  // with what the build may read.
  std::vector<std::string> allowed_frontends = {"docker/dockerfile*"};

  // How much one build may have copied, in and out: contexts with large models
  // fit, and a few at once do not fill a disk. Besides, nothing is copied where
  // the disk has less than min_free_bytes.
  std::int64_t max_staged_bytes = std::int64_t{4} << 30;
  // Files, folders and links of it: as many as a large source tree has.
  std::int64_t max_staged_files = 200'000;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SERVICE_POLICY_OPTIONS_H_
