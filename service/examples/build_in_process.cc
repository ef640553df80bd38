// Builds an image in this process, with neither a server nor gRPC, and prints
// what nerdctl prints:
//
//   containerbuilder_build_in_process STATE_DIR /path/to/context app:dev
#include <iostream>
#include <memory>
#include <optional>

#include "containerbuilder/service/engine.h"

namespace {

using containerbuilder::service::BuildEngine;
using containerbuilder::service::BuildWatcher;
using containerbuilder::service::EngineOptions;
using containerbuilder::v1::Build;
using containerbuilder::v1::BuildEvent;
using containerbuilder::v1::BuildOutput;

// The build as it ended.
absl::StatusOr<Build> BuildImage(BuildEngine& engine, const char* context,
                                 const char* tag) {
  containerbuilder::v1::BuildRequest request;
  auto* options = request.mutable_spec()->mutable_options();
  options->set_context_path(context);
  auto* option = options->add_options();
  option->set_name("tag");
  option->mutable_value()->mutable_values()->add_values(tag);

  absl::StatusOr<BuildWatcher> watcher = engine.Build(request);
  if (!watcher.ok()) return watcher.status();
  for (;;) {
    absl::StatusOr<std::optional<BuildEvent>> event = watcher->Next();
    if (!event.ok()) return event.status();
    // The last one.
    if ((*event)->has_finished()) return (*event)->finished().build();
    if ((*event)->has_output()) {
      const BuildOutput& output = (*event)->output();
      (output.stream() == BuildOutput::STREAM_STDERR ? std::cerr : std::cout)
          << output.data() << std::flush;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: " << argv[0] << " STATE_DIR CONTEXT TAG\n";
    return 2;
  }
  EngineOptions options;
  options.state_dir = argv[1];
  const absl::StatusOr<std::unique_ptr<BuildEngine>> engine =
      BuildEngine::Create(options);
  if (!engine.ok()) {
    std::cerr << engine.status() << "\n";
    return 1;
  }
  const absl::StatusOr<Build> build = BuildImage(**engine, argv[2], argv[3]);
  if (!build.ok()) {  // refused, or its log cannot be read
    std::cerr << build.status() << "\n";
    return 1;
  }
  std::cerr << Build::State_Name(build->state()) << "\n";
  return build->state() == Build::STATE_SUCCEEDED ? 0 : 1;
}
