#ifndef CONTAINERBUILDER_BASE_ERRORS_H_
#define CONTAINERBUILDER_BASE_ERRORS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

// The errors that callers see, by name. Each carries google.rpc details as
// payloads (type URL -> bytes), which rpc/ writes into the gRPC status:
// ErrorInfo always, and BadRequest where a field of the request is at fault.
// `field` is the path from the request message, such as
// `spec.options.context_path`; `description` says the rule and the way out.
namespace containerbuilder::service::errors {

// INVALID_ARGUMENT.
absl::Status OptionInvalid(absl::string_view field,
                           absl::string_view description);
// The same of what is no request at all.
absl::Status RequestInvalid(absl::string_view description);
absl::Status OptionUnknown(absl::string_view field,
                           absl::string_view description);
absl::Status ContextRelative(absl::string_view field, absl::string_view path);
absl::Status ContextNotFound(absl::string_view field, absl::string_view path);
absl::Status ContextNotADirectory(absl::string_view field,
                                  absl::string_view path);

// FAILED_PRECONDITION.
absl::Status OptionUnsupported(absl::string_view field, absl::string_view flag,
                               absl::string_view nerdctl_version);
absl::Status NerdctlNotFound(absl::string_view description);
absl::Status NerdctlNotExecutable(absl::string_view path,
                                  absl::string_view description);

// The service lacks these contents of a context; `digests` are the first of
// all `count`. A violation of type MISSING for each.
absl::Status BlobsMissing(absl::Span<const std::string> digests, int count);
// There is no place in memory for secrets by value.
absl::Status SecretsUnavailable(absl::string_view description);

// PERMISSION_DENIED. `setting` is what would allow it, such as
// `--read_roots`; empty where nothing would.
absl::Status PathNotAllowed(absl::string_view field,
                            absl::string_view description,
                            absl::string_view setting);
absl::Status OptionNotAllowed(absl::string_view field,
                              absl::string_view description,
                              absl::string_view setting);
// Of a path that untrusted callers may not name: the same whether there is
// something or not.
absl::Status PathRefused(absl::string_view field, absl::string_view what);

// UNAUTHENTICATED.
absl::Status CredentialsRequired();
absl::Status TokenInvalid(absl::string_view description);
absl::Status CertificateInvalid();
// PERMISSION_DENIED; `role` is the least that may do it.
absl::Status RoleRequired(absl::string_view role);

// UNAVAILABLE; DRAINING with RetryInfo.
absl::Status Draining();
absl::Status Storage(absl::string_view description);
// The same, with RetryInfo, of a disk that may only be slow.
absl::Status StorageSlow(absl::string_view description);

// ABORTED: another call sends this blob; nothing came, or was read, for too
// long.
absl::Status UploadInProgress();
absl::Status UploadIdle(absl::Duration limit);
absl::Status DownloadIdle(absl::Duration limit);

// RESOURCE_EXHAUSTED, with RetryInfo and, but for the disk, QuotaFailure.
absl::Status QueueFull(int max_queued);
absl::Status TooManyCalls(absl::Duration delay);
absl::Status TooManyBuilds(int max_builds);
absl::Status TooManyUploads(int max_uploads);
absl::Status TooManyDownloads(int max_downloads);
absl::Status TooManyWatches(int max_watches);
// His calls, or everybody's, hold too much memory.
absl::Status TooMuchAtOnce();
absl::Status TooManyReflections();
// His builds that have not ended do.
absl::Status TooMuchInBuilds();
absl::Status NoSpace(absl::string_view description,
                     absl::string_view setting = "--min_free_bytes");
// The same of a field, with no time after which it would be otherwise.
absl::Status TooLarge(absl::string_view field, absl::string_view description,
                      absl::string_view setting);

// NOT_FOUND, with ResourceInfo; for builds of others, too.
absl::Status BuildNotFound(absl::string_view name);
absl::Status ArtifactNotFound(absl::string_view name);
// FAILED_PRECONDITION.
absl::Status BuildNotEnded(absl::string_view name);
// ALREADY_EXISTS.
absl::Status RequestIdReused(absl::string_view request_id);
// OUT_OF_RANGE.
absl::Status SequenceOutOfRange(std::int64_t after_sequence,
                                std::int64_t last_sequence);
absl::Status OffsetOutOfRange(std::int64_t offset, std::int64_t size);
// DATA_LOSS.
absl::Status JournalDamaged(absl::string_view description);

// INTERNAL.
absl::Status Internal(absl::string_view description);

}  // namespace containerbuilder::service::errors

#endif  // CONTAINERBUILDER_BASE_ERRORS_H_
