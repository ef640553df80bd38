#ifndef CONTAINERBUILDER_BASE_LIMITS_H_
#define CONTAINERBUILDER_BASE_LIMITS_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

// The service's fixed limits, each with its reason. What an operator would
// turn is a setting (service/server_options.h) instead.
namespace containerbuilder::service::limits {

// One read from a build's pipe and so the most that one output event holds.
// Per event cost dominates up to some 16 KiB. Each watcher has an event on its
// way to it, so this bounds what a thousand watchers cost.
inline constexpr std::size_t kMaxOutputChunkBytes = 64 * 1024;

// A record of a journal. The largest is a build's admission or its end, which
// hold its request (kMaxRequestBytes) and little else.
inline constexpr std::size_t kMaxJournalPayloadBytes = 16 * 1024 * 1024;

// UploadBlobsRequest.data, and what DownloadArtifact reads at a time: more does
// not go quicker, and each call holds one in memory.
inline constexpr std::size_t kMaxPieceBytes = 1024 * 1024;
inline constexpr std::size_t kDownloadPieceBytes = 256 * 1024;
// FindMissingBlobs: a tree of source has fewer, and the request some 800 KiB.
inline constexpr int kMaxFoundBlobs = 10'000;
// Blobs that one caller sends at the same time: a client needs one call, or one
// for each core. Of those that broke off, the oldest go when there are more.
inline constexpr int kMaxOpenUploads = 32;
inline constexpr std::size_t kMaxLeftUploads = 1000;
// Artifacts that one caller reads at the same time. Each has an open file, and
// up to two pieces in memory.
inline constexpr int kMaxOpenDownloads = 32;
// Each takes some 200 bytes of memory; the largest context has fewer
// (--max_staged_files).
inline constexpr std::size_t kMaxBlobsPerCaller = 500'000;
// What an upload that goes on hashes of what it left before others have a turn:
// some ten milliseconds' worth.
inline constexpr std::int64_t kHashSliceBytes = 8 * 1024 * 1024;
// How old the time of last use may be that a blob's file has.
inline constexpr absl::Duration kBlobTouchInterval = absl::Hours(1);
// A Directory, and all different ones of a context, which are read into
// memory: 200,000 files take some 30 MiB.
inline constexpr std::int64_t kMaxDirectoryBytes = 16 * 1024 * 1024;
inline constexpr std::int64_t kMaxDirectoryBytesPerTree = 64 * 1024 * 1024;
// Digests that BLOBS_MISSING names: the status travels in a header of 8 KiB, in
// base64. FindMissingBlobs has them all.
inline constexpr std::size_t kMaxMissingNamed = 32;

// How much output a crash of the machine may take from a build's journal:
// what was printed in that time, or that many bytes.
inline constexpr absl::Duration kJournalSyncInterval = absl::Seconds(1);
inline constexpr std::int64_t kJournalSyncBytes = 1024 * 1024;

// The newest events of a build that are kept in memory for the watchers that
// keep up; the others read the file.
inline constexpr std::size_t kJournalRecentBytes = 256 * 1024;

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

// Secrets by value. BuildKit takes 500 KiB each; what hides them in the output
// takes some 40 bytes of memory for each of theirs, which the total bounds.
inline constexpr std::size_t kMaxSecretBytes = 500 * 1024;
inline constexpr std::size_t kMaxSecretBytesPerBuild = 2 * 1024 * 1024;
// Of secrets, and of registry credentials; each is a file or an entry in one,
// and an argument.
inline constexpr int kMaxSecretsPerBuild = 100;
// A registry's user name and password: tokens have a few KiB.
inline constexpr std::size_t kMaxCredentialBytes = 64 * 1024;
// What is shorter stands in ordinary output by chance.
inline constexpr std::size_t kMinRedactedBytes = 6;
// Longer secrets are not looked for inside base64 of more than themselves.
inline constexpr std::size_t kMaxAlignedRedactionBytes = 64 * 1024;

// BuildPolicy's durations.
inline constexpr absl::Duration kMaxPolicyDuration = absl::Hours(7 * 24);
inline constexpr absl::Duration kDefaultGracePeriod = absl::Seconds(10);
inline constexpr absl::Duration kDefaultLinger = absl::Seconds(60);

// BuildRequest.request_id: a UUID needs 36.
inline constexpr std::size_t kMaxRequestIdBytes = 128;

// How often a waiting build is told its position at most: each start moves
// the whole queue, and each event is a write.
inline constexpr absl::Duration kPositionInterval = absl::Seconds(1);

// What a build prints between two looks at the free disk.
inline constexpr std::int64_t kDiskCheckBytes = 1024 * 1024;

// How often the disk is looked at while a build writes files of its own.
inline constexpr absl::Duration kRoomCheckInterval = absl::Seconds(1);

// Folders in folders that are copied for an untrusted caller: deeper than any
// source tree, and each takes descriptors while it is copied.
inline constexpr int kMaxStagedDepth = 128;

// A Dockerfile of an untrusted caller, which is read into memory for its
// `# syntax=` line. Generated ones of a few thousand steps have a tenth of it.
inline constexpr std::int64_t kMaxDockerfileBytes = 1024 * 1024;

// Kept back so that the ends of builds can be written on a full disk.
inline constexpr std::int64_t kDiskReserveBytes = 4 * 1024 * 1024;

// How many builds at most are forgotten in one go, so that others' work is
// not held up for long.
inline constexpr int kMaxForgottenAtOnce = 1000;

// How long the start waits for what an earlier run left running.
inline constexpr absl::Duration kLeftoverTimeout = absl::Seconds(10);

// WatchBuildRequest.heartbeat_interval: each heartbeat is a message to write.
inline constexpr absl::Duration kMinHeartbeatInterval = absl::Milliseconds(100);

// ListBuilds. Each annotation is a subquery of its own.
inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageSize = 1000;
inline constexpr int kMaxListAnnotations = 100;

// How long a pipe that stays open after nerdctl's exit may be silent before
// its holders are ended, and how long it may go on talking.
inline constexpr absl::Duration kPipeIdleTimeout = absl::Milliseconds(100);
inline constexpr absl::Duration kPipeDrainTimeout = absl::Seconds(2);

// How often a process group that is being stopped is looked at; the kernel
// has no event for "this group is empty".
inline constexpr absl::Duration kGroupPollInterval = absl::Milliseconds(10);

// A client that vanished without a word is noticed after the sum of the two,
// and so is its network.
inline constexpr absl::Duration kKeepaliveTime = absl::Seconds(20);
inline constexpr absl::Duration kKeepaliveTimeout = absl::Seconds(20);

// Between pings that clients send; more often is abuse and closes the
// connection. Half of what the client library does.
inline constexpr absl::Duration kMinPingInterval = absl::Seconds(10);

// From the first byte of a connection to the end of its TLS and HTTP/2
// greetings; gRPC's own default is two minutes.
inline constexpr absl::Duration kHandshakeTimeout = absl::Seconds(10);

// The headers of a call: a token, a trace parent and what proxies add. gRPC's
// own default, which is what peers expect of each other.
inline constexpr int kMaxMetadataBytes = 8 * 1024;

// What a TCP connection may send ahead of the calls that the service has from
// it: a request that is on its way, and some. Every call gives back its own
// size and kCallOverheadBytes, time gives kIdleBytesPerSecond, for pings and
// probes, and what the service sends gives its sixteenth, for acknowledgements.
// One that sends more, floods: gRPC 1.51 keeps each byte of endless headers,
// without a limit.
inline constexpr std::int64_t kMaxUncalledBytes =
    kMaxRequestBytes + 1024 * 1024;
inline constexpr std::int64_t kCallOverheadBytes = 16 * 1024;
// What gRPC takes of a stream ahead of the reads: 64 KiB, its default, bounds a
// distant client's speed. It is not left to gRPC's own estimate, by which
// clients that upload to a slow disk fill memory.
inline constexpr int kStreamAheadBytes = 256 * 1024;
// That and a piece that is not whole yet, of each upload: a piece is counted
// as soon as it is.
inline constexpr std::int64_t kUploadAheadBytes =
    kStreamAheadBytes + kMaxPieceBytes;
// What frames and TLS records add to a message of a stream, besides a
// sixteenth.
inline constexpr std::int64_t kPieceOverheadBytes = 128;
inline constexpr std::int64_t kIdleBytesPerSecond = 4 * 1024;
// The same of all connections from one host, so that one that floods does not
// just connect again.
inline constexpr std::int64_t kMaxUncalledHostBytes = 4 * kMaxUncalledBytes;
inline constexpr std::int64_t kIdleHostBytesPerSecond = 64 * 1024;
// How many hosts without connections are remembered for what they sent.
inline constexpr std::size_t kMaxRestingHosts = 1024;
inline constexpr absl::Duration kFloodCheckInterval = absl::Milliseconds(50);

// Descriptors that connections leave to builds; a quarter at most of what the
// process may have.
inline constexpr int kReservedDescriptors = 256;

// Files that settings name: certificates, callers. They are read again every
// kFileInterval to see whether they changed, so they are small; a thousand
// callers take some hundred KiB.
inline constexpr std::size_t kMaxSmallFileBytes = 1024 * 1024;
inline constexpr absl::Duration kFileInterval = absl::Seconds(1);

// Calls that a caller may make at once after a rest, in seconds of
// ServerOptions::max_calls_per_second: who asks about all of his builds has a
// burst of calls and then none.
inline constexpr double kCallBurst = 10;

// A caller's name out of a certificate; a SPIFFE id has up to 2048 bytes, of
// which nobody uses the most.
inline constexpr std::size_t kMaxCallerNameBytes = 256;

// The least time between two lines of the log about refused strangers.
inline constexpr absl::Duration kRefusalLogInterval = absl::Seconds(1);

}  // namespace containerbuilder::service::limits

#endif  // CONTAINERBUILDER_BASE_LIMITS_H_
