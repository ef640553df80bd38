#ifndef CONTAINERBUILDER_CLI_FOLLOW_H_
#define CONTAINERBUILDER_CLI_FOLLOW_H_

#include <functional>

#include "containerbuilder/client/build_stream.h"
#include "containerbuilder/client/client_options.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "interrupt.h"
#include "status_line.h"

namespace containerbuilder::cli {

// How to follow a build.
struct FollowOptions {
  const client::ClientOptions& client;
  // Events as JSON, one per line, on standard output, in place of nerdctl's
  // bytes on the stream where it wrote them.
  bool json = false;
  // Terminals get all of it, and not only what TerminalFilter lets through.
  bool raw = false;
  // Where the build is this process's own: what interrupts it. Then it is
  // stopped when nothing can be written any more, and its end waited for.
  const InterruptWatch* interrupts = nullptr;
  // What is on the terminal already; null: nothing.
  StatusLine* status_line = nullptr;
  // Told why the service refused the build, where it did; true: nothing is
  // printed about it, and the exit code means nothing. May be null.
  std::function<bool(const absl::Status& refusal)> refused = nullptr;
  // What is still to be done when the build has succeeded, and answers the exit
  // code; null: nothing.
  std::function<int(const v1::Build& build)> then = nullptr;
};

// Prints what happens until the build's end; answers the exit code.
int Follow(client::BuildStream& stream, const FollowOptions& options);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_FOLLOW_H_
