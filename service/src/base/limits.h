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
// What an UploadBlobsRequest has beside its data, and what parsing it may take
// besides twice its size: a digest has 71 bytes.
inline constexpr std::size_t kMaxPieceOverheadBytes = 4 * 1024;
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
// Blobs that go for the room of another before others have a turn.
inline constexpr std::size_t kEvictSlice = 64;
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

// Steps of a build of which progress is told: they are as many as the
// Dockerfile's author likes, and each is kept in memory.
inline constexpr std::size_t kMaxProgressSteps = 10'000;

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

// What one may take in memory, besides twice its size: parts without content
// take two bytes on their way and up to 60 here. A hundred thousand arguments,
// more than the kernel takes, have some 6 MiB.
inline constexpr std::int64_t kMaxRequestOverheadBytes = 8 * 1024 * 1024;
// Larger ones, of callers who are neither trusted nor admins, are parsed one at
// a time, for what they take is known only then, and up to fifty times their
// size; nearly all have a few KiB.
inline constexpr std::size_t kMaxParsedTogetherBytes = 1024 * 1024;
// What requests of one caller that wait, or are worked on, and answers to him
// that are not read yet may take in memory together: some twenty of the largest
// pages of ListBuilds; and those of all callers. Not of admins.
inline constexpr std::int64_t kMaxCallBytesPerCaller = 128 * 1024 * 1024;
inline constexpr std::int64_t kMaxCallBytes = 512 * 1024 * 1024;
// Builds that have not ended may take as much again, so that who has his in
// builds can still list and cancel them. A build keeps its spec as it runs and
// as it is shown, and its arguments.
inline constexpr std::int64_t kSpecCopies = 3;
// What is smaller, as nearly all requests and answers are, a caller may have
// also where others have taken all that there is for all.
inline constexpr std::int64_t kCountedMessageBytes = 64 * 1024;
// An answer that is not read counts until the peer has it. Its call is
// cancelled where that takes longer than ServerOptions::transfer_idle_timeout
// and its size at this speed, which is that of a poor radio link.
inline constexpr std::int64_t kLeastBytesPerSecond = 16 * 1024;
// What ConstructArgs answers, in which each value has the name of its flag
// before it; the kernel takes an eighth.
inline constexpr std::size_t kMaxConstructedBytes = 16 * 1024 * 1024;

// Entries of BuildOptions.options: nerdctl knows some forty flags.
inline constexpr int kMaxOptions = 1000;
// BuildRequest.annotations, each of which is a row of the records, and so many
// bytes of keys and values: Kubernetes has four times that for an object, of
// which hardly any uses a tenth.
inline constexpr int kMaxAnnotations = 100;
inline constexpr std::size_t kMaxAnnotationBytes = 64 * 1024;

// Streams of events that one caller, no admin, reads at the same time. Those of
// ended builds take two descriptors each.
inline constexpr int kMaxOpenWatches = 256;
// Each holds an event that is not read: one with output is as small as this.
// Those that are larger, with a build's arguments or its record, count as what
// else a caller has in memory, and wait where that is too much, with a look now
// and then.
inline constexpr std::int64_t kUncountedEventBytes =
    kMaxOutputChunkBytes + 1024;
inline constexpr absl::Duration kEventRoomInterval = absl::Seconds(1);

// A probe of Health (a version, `buildctl debug workers`).
inline constexpr absl::Duration kProbeTimeout = absl::Seconds(5);
inline constexpr std::size_t kMaxProbeOutputBytes = 1024 * 1024;
// How long a probe that was killed is waited for: one that waits for a disk
// that is gone does not die.
inline constexpr absl::Duration kKillTimeout = absl::Seconds(5);

// How old an answer of Health may be that is shared between callers.
inline constexpr absl::Duration kHealthFreshness = absl::Seconds(1);

// How long it is believed that nerdctl does not answer, where it took as long
// to find out: who has waited behind that does not wait once more.
inline constexpr absl::Duration kSlowAnswerFreshness = absl::Seconds(1);

// Secrets by value. BuildKit takes 500 KiB each. What hides them in the output
// takes up to 58 bytes of memory for each of theirs, and 90 while it is made,
// which is done for one build at a time. The total, with credentials, bounds
// that to 116 MiB for a build, and 180 for one that starts.
inline constexpr std::size_t kMaxSecretBytes = 500 * 1024;
inline constexpr std::size_t kMaxSecretBytesPerBuild = 2 * 1024 * 1024;
// Of secrets, and of registry credentials; each is a file or an entry in one,
// and an argument.
inline constexpr int kMaxSecretsPerBuild = 100;
// A registry's user name and password: tokens have a few KiB.
inline constexpr std::size_t kMaxCredentialBytes = 64 * 1024;
// What is shorter stands in ordinary output by chance.
inline constexpr std::size_t kMinRedactedBytes = 6;
// The shortest of a build's secrets, to so many bytes in all, are looked for
// inside base64 of more than themselves, too: 150 bytes of memory for each.
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

// ListBuilds. Each annotation is a subquery of its own for each build that has
// those before it.
inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageSize = 1000;
inline constexpr int kMaxListAnnotations = 100;
// How long one call may search: for 100 annotations through some 4,000 builds,
// for a few through ten times as many as are retained. Lists wait for each
// other, and kListThreads of them no longer than the store lets them
// (SqliteBuildStore::Options::busy_timeout).
inline constexpr absl::Duration kMaxListTime = absl::Milliseconds(500);

// How long a pipe that stays open after nerdctl's exit may be silent before
// its holders are ended, and how long it may go on talking.
inline constexpr absl::Duration kPipeIdleTimeout = absl::Milliseconds(100);
inline constexpr absl::Duration kPipeDrainTimeout = absl::Seconds(2);

// How often a process group that is being stopped is looked at; the kernel
// has no event for "this group is empty".
inline constexpr absl::Duration kGroupPollInterval = absl::Milliseconds(10);

// Of what the service does again and again by a setting.
inline constexpr absl::Duration kMinInterval = absl::Milliseconds(1);

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
// size and kCallOverheadBytes, time gives a caller kIdleBytesPerSecond, for
// pings, and what he is sent its sixteenth, for acknowledgements.
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
// An event of a build is a segment that is not full, and to each grpc-go
// answers by a ping and a window's update: 52 bytes over TLS, more than a
// sixteenth of what is small.
inline constexpr std::int64_t kAnswerBytesPerSegment = 48;
// What an upload that ended had sent and was not read, as of one that is
// refused at once: kStreamAheadBytes at most, of one upload so often, of so
// many.
inline constexpr absl::Duration kForgivenessInterval = absl::Seconds(1);
inline constexpr int kMaxForgivenUploads = 100;
// A stranger, who has never called, is forgiven his pings alone, and nothing
// for what he is sent, as gRPC may keep what he began. He is ended where more
// than kMaxNoiseBytes stand for longer than --transfer_idle_timeout and the
// time that they take at the least speed, and a call of his goes on, seen twice
// in more than kProbeTime; if none does, it was finished, as a probe's calls of
// gRPC's own health service are. Not so beside a Watch of that.
inline constexpr absl::Duration kProbeTime = absl::Milliseconds(700);
inline constexpr std::int64_t kStrangerBytesPerSecond = 16;
inline constexpr std::int64_t kMaxNoiseBytes = 64 * 1024;
// The same of all connections from one host, so that one that floods does not
// just connect again. One that has called before may take all of it, for large
// requests at once.
inline constexpr std::int64_t kMaxUncalledHostBytes = 4 * kMaxUncalledBytes;
inline constexpr std::int64_t kIdleHostBytesPerSecond = 64 * 1024;
// gRPC 1.51 looks at a header that does not end from its beginning again with
// each frame, so that a few hundred KiB in small frames take it minutes. To
// such a peer nothing is sent; one that sends a message is granted 64 KiB at
// first and then more, which is sent to it, for each MiB or so. A connection of
// which more was read since anything was sent to it, or called by it, while the
// process worked for so long, is ended, and a fourth of what its host may send
// beside calls is gone. Who is slow, with a large message, meets that only
// where the service is busy for others all the time.
inline constexpr std::int64_t kMaxQuietBytes = 96 * 1024;
inline constexpr absl::Duration kMaxQuietWork = absl::Seconds(2);
// gRPC 1.51 minds its limit of streams only once its peer has acknowledged one,
// and a stream, of some 10 KiB of memory, is begun by 15 bytes. So streams are
// counted of connections that sent enough to have begun the limit's number
// since the last time: a frame's header and a byte each. One that has twice
// the limit is ended, and its host loses kMaxUncalledBytes of what it may send
// beside calls, for each time that it has twice the limit, but for no more than
// ten minutes, in which it is refused.
inline constexpr std::int64_t kLeastBytesPerStream = 10;
// How many hosts without connections are remembered for what they sent.
inline constexpr std::size_t kMaxRestingHosts = 1024;
inline constexpr absl::Duration kFloodCheckInterval = absl::Milliseconds(50);

// gRPC takes a connection over on the thread that hands it over, and goes on to
// read from it there while there is something to read: who counts what a flood
// sends must not be the one who reads it. More threads would not help, as gRPC
// takes over one connection at a time. Of each host one waits for it, and the
// host's others behind those of others. It takes milliseconds: a connection
// that keeps the thread for so long is ended, and a fourth of what its host may
// send beside calls is gone.
inline constexpr int kHandOverThreads = 1;
inline constexpr int kHandOversPerHost = 1;
inline constexpr absl::Duration kMaxHandOverTime = absl::Seconds(5);

// Connections that the kernel keeps until they are accepted; it cuts this to
// net.core.somaxconn.
inline constexpr int kBacklog = 4096;

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

// The least time between two lines of the log about refused strangers, or about
// what one caller was refused.
inline constexpr absl::Duration kRefusalLogInterval = absl::Seconds(1);
// Callers who have such lines of their own at a time; with their names they
// take some hundred KiB.
inline constexpr std::size_t kMaxRefusalLogCallers = 1024;
// A field's name, or what else a line of the log has of a request.
inline constexpr std::size_t kMaxLoggedBytes = 128;

// Threads, each kind for what may wait for the same thing. Requests may wait
// for the disk; streams only read what was just written.
inline constexpr int kRequestThreads = 8;
// Callers choose what they cost, up to kMaxListTime.
inline constexpr int kListThreads = 4;
inline constexpr int kCancelThreads = 2;
inline constexpr int kStreamThreads = 4;
// Of the work of each kind, so much of one caller's is done at a time: the
// other threads are for other callers.
inline constexpr int kTurnsPerCaller = 2;
// A program that hangs is waited for on threads of their own: one for Health,
// whose answer is everybody's who waited for it, and some for what asks nerdctl
// alone, which may answer while another program hangs.
inline constexpr int kHealthThreads = 1;
inline constexpr int kNerdctlThreads = 4;
// Admissions of callers who are not trusted copy contexts: more at a time
// would only share a disk.
inline constexpr int kAdmissionThreads = 4;
// Uploads and downloads: the disk is what they wait for.
inline constexpr int kTransferThreads = 4;
// Of builds, the ends, records and timers: what may wait for the disk.
inline constexpr int kWorkThreads = 8;
// Outputs that are copied to their places: more would only share a disk.
inline constexpr int kCopyThreads = 2;
// Requests are parsed, where their work may wait for what others' does not, and
// those of over kMaxParsedTogetherBytes.
inline constexpr int kParseThreads = 2;
inline constexpr int kLargeParseThreads = 1;

// Reflection, which strangers may call: a request is a name. Each stream has an
// answer of some 100 KiB on its way, and a client asks for all that it wants in
// a second.
inline constexpr std::size_t kMaxReflectionRequestBytes = 4 * 1024;
inline constexpr int kMaxReflections = 64;
inline constexpr int kMaxReflectionsPerHost = 16;
inline constexpr absl::Duration kMaxReflectionTime = absl::Minutes(1);

// How long a deletion waits for the record of an end that is told already: a
// disk that works takes no second, and one that hangs gets no more threads.
inline constexpr absl::Duration kRecordTimeout = absl::Minutes(1);

// What callers that do not read their last events get at shutdown, and then
// all calls and connections.
inline constexpr absl::Duration kShutdownTimeout = absl::Seconds(5);

}  // namespace containerbuilder::service::limits

#endif  // CONTAINERBUILDER_BASE_LIMITS_H_
