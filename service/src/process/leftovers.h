#ifndef CONTAINERBUILDER_PROCESS_LEFTOVERS_H_
#define CONTAINERBUILDER_PROCESS_LEFTOVERS_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace containerbuilder::service {

// A process, told from every other that has had or will have its pid.
struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;
  std::string boot_id;
};

// Of a process that runs, or is not reaped yet.
std::optional<ProcessId> IdentifyProcess(pid_t pid);

// What may be left of a command that an earlier run of this program started.
struct Leftover {
  std::string mark;                 // Command::mark
  std::optional<ProcessId> leader;  // of its group, where it is known
};

// Ends all of them by SIGKILL and waits until they are gone: what carries the
// mark in its environment, and the groups that a marked process or the very
// leader is in. No other process is hit, whatever became of the pids.
// DEADLINE_EXCEEDED where something still runs after `timeout`: it waits for a
// disk, say. Blocks.
absl::Status EndLeftovers(absl::Span<const Leftover> leftovers,
                          absl::Duration timeout);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_PROCESS_LEFTOVERS_H_
