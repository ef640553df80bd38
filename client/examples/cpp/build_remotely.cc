// Builds a folder of this machine on another one, prints what nerdctl prints,
// and fetches the files of the image as a tar archive:
//
//   containerbuilder_build_remotely build-host:7777 /path/to/context files.tar
//
// With CONTAINER_BUILDER_TOKEN set it calls by TLS and with that token.
#include <cstdlib>
#include <iostream>
#include <memory>
#include <utility>

#include "containerbuilder/client/client.h"

namespace {

using containerbuilder::client::Client;
using containerbuilder::client::ClientOptions;
using containerbuilder::client::LocalContext;
using containerbuilder::client::TlsOptions;
using containerbuilder::v1::Build;
using containerbuilder::v1::BuildEvent;
using containerbuilder::v1::BuildOutput;
using containerbuilder::v1::BuildRequest;

absl::Status BuildRemotely(const ClientOptions& options, const char* folder,
                           const char* archive) {
  // Without what .dockerignore leaves out.
  absl::StatusOr<LocalContext> context = LocalContext::Read(folder);
  if (!context.ok()) return context.status();

  BuildRequest request;
  request.mutable_spec()
      ->mutable_options()
      ->mutable_output()
      ->mutable_values()
      ->add_values("type=tar,dest=files.tar");
  Client client(options);
  Build build;
  // Sends what the service lacks of the context, and goes on by itself where a
  // connection is lost.
  for (const absl::StatusOr<BuildEvent>& event : client.Build(
           request,
           std::make_shared<const LocalContext>(*std::move(context)))) {
    if (!event.ok()) return event.status();
    if (event->has_output()) {
      const bool is_error =
          event->output().stream() == BuildOutput::STREAM_STDERR;
      (is_error ? std::cerr : std::cout)
          << event->output().data() << std::flush;
    } else if (event->has_finished()) {
      build = event->finished().build();
    }
  }
  if (build.artifacts().empty()) return absl::NotFoundError("no artifact");
  return client.DownloadArtifact(build.artifacts(0), archive);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: " << argv[0] << " ADDRESS CONTEXT ARCHIVE\n";
    return 2;
  }
  ClientOptions options;
  options.address = argv[1];
  if (const char* token = std::getenv("CONTAINER_BUILDER_TOKEN")) {
    options.token = token;
    options.tls = TlsOptions();
  }
  const absl::Status status = BuildRemotely(options, argv[2], argv[3]);
  if (status.ok()) return 0;
  std::cerr << status << "\n";
  return 1;
}
