#ifndef CONTAINERBUILDER_CLI_OUTPUT_PLACES_H_
#define CONTAINERBUILDER_CLI_OUTPUT_PLACES_H_

#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>

#include "absl/status/status.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/nerdctl_build_flags.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "terminal.h"

namespace containerbuilder::cli {

// Where on this machine goes what a build of an uploaded context made. What the
// service says of places is not looked at.
class OutputPlaces {
 public:
  // Takes note of `--output VALUE`, the last one counts, and answers the value
  // to send. As nerdctl does, a value without `type=` is a folder; but `-` is
  // an archive on standard output, as for docker.
  std::string SetOutput(std::string_view folder, const std::string& value);
  void SetImageIdFile(std::string path) { image_id_ = std::move(path); }
  // The same by the flag; any other's value stays as it is.
  std::string Take(const NerdctlBuildFlag& flag, std::string_view folder,
                   const std::string& value);

  bool empty() const { return output_.empty() && image_id_.empty(); }

  // Brings it all here; `out` is standard output. Where that failed because
  // nobody takes it, `write_failed` says why.
  absl::Status Fetch(client::Client& client, const v1::Build& build,
                     const std::stop_token& stop, Output& out,
                     std::error_code& write_failed) const;

 private:
  std::string output_;  // absolute, or `-`; empty: nothing comes back
  std::string image_id_;
};

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_OUTPUT_PLACES_H_
