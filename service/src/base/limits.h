#ifndef CONTAINERBUILDER_BASE_LIMITS_H_
#define CONTAINERBUILDER_BASE_LIMITS_H_

#include <cstddef>

#include "absl/time/time.h"

// The service's fixed limits, each with its reason. What an operator would
// turn is a setting (service/server_options.h) instead.
namespace containerbuilder::service::limits {

// One read from a build's pipe and so the most that one output event holds.
// Per event cost dominates up to some 16 KiB; beyond 256 KiB nothing is won,
// and clients accept 4 MiB a message at most.
inline constexpr std::size_t kMaxOutputChunkBytes = 256 * 1024;

// What a pipe should hold, so that a build does not stall while its bytes are
// written down. Best effort: the kernel grants an ordinary user 64 of them.
inline constexpr int kPipeBytes = 1024 * 1024;

// The end of standard error that BuildFailure.log_tail keeps.
inline constexpr std::size_t kLogTailBytes = 8 * 1024;
inline constexpr std::size_t kLogTailLines = 40;

// The longest line of progress output that is looked at for steps; longer
// ones are relayed all the same.
inline constexpr std::size_t kMaxProgressLineBytes = 64 * 1024;

// A step's name and error as kept in events and records.
inline constexpr std::size_t kMaxStepTextBytes = 4 * 1024;

// One argument of execve (Linux: MAX_ARG_STRLEN, 128 KiB with the final NUL).
inline constexpr std::size_t kMaxArgumentBytes = 131071;

// Text of a gRPC status: it travels in a header, and peers refuse header lists
// over 8 KiB.
inline constexpr std::size_t kMaxErrorMessageBytes = 1024;

// A request. The largest legitimate one is a full argument list, which the
// kernel bounds at 2 MiB by default; secrets by value may add half a MiB each.
inline constexpr int kMaxRequestBytes = 8 * 1024 * 1024;

// A probe of Health (a version, `buildctl debug workers`).
inline constexpr absl::Duration kProbeTimeout = absl::Seconds(5);
inline constexpr std::size_t kMaxProbeOutputBytes = 1024 * 1024;

// How old an answer of Health may be that is shared between callers.
inline constexpr absl::Duration kHealthFreshness = absl::Seconds(1);

// BuildPolicy's durations.
inline constexpr absl::Duration kMaxPolicyDuration = absl::Hours(7 * 24);
inline constexpr absl::Duration kDefaultGracePeriod = absl::Seconds(10);

// How long a pipe that stays open after nerdctl's exit may be silent before
// its holders are ended, and how long it may go on talking.
inline constexpr absl::Duration kPipeIdleTimeout = absl::Milliseconds(100);
inline constexpr absl::Duration kPipeDrainTimeout = absl::Seconds(2);

// How often a process group that is being stopped is looked at; the kernel
// has no event for "this group is empty".
inline constexpr absl::Duration kGroupPollInterval = absl::Milliseconds(10);

}  // namespace containerbuilder::service::limits

#endif  // CONTAINERBUILDER_BASE_LIMITS_H_
