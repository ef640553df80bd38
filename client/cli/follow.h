#ifndef CONTAINERBUILDER_CLI_FOLLOW_H_
#define CONTAINERBUILDER_CLI_FOLLOW_H_

#include "containerbuilder/client/build_stream.h"
#include "containerbuilder/client/client_options.h"
#include "interrupt.h"

namespace containerbuilder::cli {

// How to follow a build.
struct FollowOptions {
  const client::ClientOptions& client;
  // Events as JSON, one per line, on standard output, in place of nerdctl's
  // bytes on the stream where it wrote them.
  bool json = false;
  // Where the build is this process's own: what interrupts it. Then it is
  // stopped when nothing can be written any more, and its end waited for.
  const InterruptWatch* interrupts = nullptr;
};

// Prints what happens until the build's end; answers the exit code.
int Follow(client::BuildStream& stream, const FollowOptions& options);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_FOLLOW_H_
