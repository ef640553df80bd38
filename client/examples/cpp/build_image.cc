// Builds an image and prints what nerdctl prints:
//
//   containerbuilder_build_image unix:///run/cb.sock /path/to/context app:dev
#include <iostream>

#include "containerbuilder/client/client.h"

namespace {

using containerbuilder::v1::BuildEvent;
using containerbuilder::v1::BuildOutput;

int BuildImage(const char* address, const char* context, const char* tag) {
  containerbuilder::v1::BuildRequest request;
  auto* options = request.mutable_spec()->mutable_options();
  options->set_context_path(context);
  auto* option = options->add_options();
  option->set_name("tag");
  option->mutable_value()->mutable_values()->add_values(tag);

  containerbuilder::client::Client client({.address = address});
  for (const absl::StatusOr<BuildEvent>& event : client.Build(request)) {
    // Not reached, or refused, or the build failed.
    if (!event.ok()) {
      std::cerr << event.status() << "\n";
      return 1;
    }
    if (event->has_output()) {
      const bool is_error =
          event->output().stream() == BuildOutput::STREAM_STDERR;
      (is_error ? std::cerr : std::cout)
          << event->output().data() << std::flush;
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: " << argv[0] << " ADDRESS CONTEXT TAG\n";
    return 2;
  }
  return BuildImage(argv[1], argv[2], argv[3]);
}
