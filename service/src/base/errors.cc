#include "base/errors.h"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "containerbuilder/errors/v1/error_details.pb.h"

namespace containerbuilder::service::errors {
namespace {

namespace v1 = ::containerbuilder::errors::v1;

// The messages are google.rpc's on the wire; see error_details.proto.
constexpr absl::string_view kTypeUrlPrefix = "type.googleapis.com/google.rpc.";
constexpr absl::string_view kDomain = "containerbuilder.v1";

template <typename Detail>
void Attach(absl::Status& status, const Detail& detail) {
  status.SetPayload(absl::StrCat(kTypeUrlPrefix, Detail::descriptor()->name()),
                    absl::Cord(detail.SerializeAsString()));
}

using Metadata =
    std::initializer_list<std::pair<absl::string_view, absl::string_view>>;

absl::Status Make(absl::StatusCode code, absl::string_view reason,
                  absl::string_view message, Metadata metadata = {}) {
  absl::Status status(code, message);
  v1::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(std::string(kDomain));
  for (const auto& [key, value] : metadata) {
    if (value.empty()) continue;
    (*info.mutable_metadata())[std::string(key)] = std::string(value);
  }
  Attach(status, info);
  return status;
}

// An error of one field of the request. It is cut, because the details travel
// in a header.
absl::Status MakeForField(absl::StatusCode code, absl::string_view reason,
                          absl::string_view field,
                          absl::string_view description,
                          absl::string_view setting = "") {
  description = description.substr(0, limits::kMaxErrorMessageBytes);
  absl::Status status =
      Make(code, reason, absl::StrCat(field, ": ", description),
           {{"field", field}, {"setting", setting}});
  v1::BadRequest bad_request;
  v1::BadRequest::FieldViolation* violation =
      bad_request.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(ToUtf8(description));
  Attach(status, bad_request);
  return status;
}

absl::Status MakePrecondition(absl::string_view reason,
                              absl::string_view subject,
                              absl::string_view description) {
  absl::Status status =
      Make(absl::StatusCode::kFailedPrecondition, reason, description);
  v1::PreconditionFailure failure;
  v1::PreconditionFailure::Violation* violation = failure.add_violations();
  violation->set_type(std::string(reason));
  violation->set_subject(std::string(subject));
  violation->set_description(std::string(description));
  Attach(status, failure);
  return status;
}

void AttachRetry(absl::Status& status, absl::Duration delay) {
  v1::RetryInfo retry;
  const std::int64_t seconds =
      absl::IDivDuration(delay, absl::Seconds(1), &delay);
  retry.mutable_retry_delay()->set_seconds(seconds);
  retry.mutable_retry_delay()->set_nanos(
      static_cast<std::int32_t>(absl::ToInt64Nanoseconds(delay)));
  Attach(status, retry);
}

// For what is not there, or is somebody else's.
absl::Status MakeNotFound(absl::string_view what, absl::string_view type,
                          absl::string_view form, absl::string_view name) {
  name = name.substr(0, limits::kMaxErrorMessageBytes / 2);
  const std::string shown = ToUtf8(name);
  absl::Status status =
      Make(absl::StatusCode::kNotFound, "BUILD_NOT_FOUND",
           absl::StrCat("there is no ", what, " \"", shown,
                        "\", or none that you may see; names are of the form ",
                        form));
  v1::ResourceInfo info;
  info.set_resource_type(std::string(type));
  info.set_resource_name(shown);
  info.set_description("not found");
  Attach(status, info);
  return status;
}

// A limit of which `subject` has used all.
absl::Status MakeQuota(absl::string_view reason, absl::string_view subject,
                       absl::string_view description, absl::string_view setting,
                       absl::Duration delay) {
  absl::Status status = Make(absl::StatusCode::kResourceExhausted, reason,
                             description, {{"setting", setting}});
  v1::QuotaFailure failure;
  v1::QuotaFailure::Violation* violation = failure.add_violations();
  violation->set_subject(std::string(subject));
  violation->set_description(std::string(description));
  Attach(status, failure);
  AttachRetry(status, delay);
  return status;
}

// What a caller has too much of at the same time, by a limit that is no
// setting.
absl::Status MakeTooManyAtOnce(absl::string_view subject,
                               absl::string_view description) {
  return MakeQuota("RATE_LIMITED", subject, description, /*setting=*/"",
                   absl::Seconds(1));
}

}  // namespace

absl::Status OptionInvalid(absl::string_view field,
                           absl::string_view description) {
  return MakeForField(absl::StatusCode::kInvalidArgument, "OPTION_INVALID",
                      field, description);
}

absl::Status RequestInvalid(absl::string_view description) {
  return Make(absl::StatusCode::kInvalidArgument, "OPTION_INVALID",
              description);
}

absl::Status OptionUnknown(absl::string_view field,
                           absl::string_view description) {
  return MakeForField(absl::StatusCode::kInvalidArgument, "OPTION_UNKNOWN",
                      field, description);
}

absl::Status ContextRelative(absl::string_view field, absl::string_view path) {
  return MakeForField(
      absl::StatusCode::kInvalidArgument, "CONTEXT_RELATIVE", field,
      absl::StrCat("the context \"", path,
                   "\" is relative; send an absolute path, or \".\" for the "
                   "service's own working folder"));
}

absl::Status ContextNotFound(absl::string_view field, absl::string_view path) {
  return MakeForField(
      absl::StatusCode::kInvalidArgument, "CONTEXT_NOT_FOUND", field,
      absl::StrCat("the context \"", path,
                   "\" does not exist on the server; paths are the server's, "
                   "not the caller's"));
}

absl::Status ContextNotADirectory(absl::string_view field,
                                  absl::string_view path) {
  return MakeForField(
      absl::StatusCode::kInvalidArgument, "CONTEXT_NOT_A_DIRECTORY", field,
      absl::StrCat("the context \"", path,
                   "\" is not a folder; name the folder and put the "
                   "Dockerfile into the option \"file\""));
}

absl::Status OptionUnsupported(absl::string_view field, absl::string_view flag,
                               absl::string_view nerdctl_version) {
  return MakeForField(
      absl::StatusCode::kFailedPrecondition, "OPTION_UNSUPPORTED", field,
      absl::StrCat("the installed nerdctl", nerdctl_version.empty() ? "" : " ",
                   nerdctl_version, " has no --", flag,
                   "; leave it out or update nerdctl on the server"));
}

absl::Status NerdctlNotFound(absl::string_view description) {
  return MakePrecondition("NERDCTL_NOT_FOUND", "nerdctl", description);
}

absl::Status NerdctlNotExecutable(absl::string_view path,
                                  absl::string_view description) {
  return MakePrecondition("NERDCTL_NOT_EXECUTABLE", path, description);
}

absl::Status SecretsUnavailable(absl::string_view description) {
  return MakePrecondition(
      "SECRETS_UNAVAILABLE", "secret_dir",
      absl::StrCat("the service has no folder in memory for secrets by value (",
                   description,
                   "); the operator can name one by --secret_dir"));
}

absl::Status BlobsMissing(absl::Span<const std::string> digests, int count) {
  absl::Status status = Make(
      absl::StatusCode::kFailedPrecondition, "BLOBS_MISSING",
      absl::StrCat("the service lacks ", count,
                   " contents of spec.context_digest, or no longer has them; "
                   "ask FindMissingBlobs, send them, and then this again"),
      {{"field", "spec.context_digest"}, {"missing", absl::StrCat(count)}});
  v1::PreconditionFailure failure;
  for (const std::string& digest : digests) {
    v1::PreconditionFailure::Violation* violation = failure.add_violations();
    violation->set_type("MISSING");
    violation->set_subject(digest);
  }
  Attach(status, failure);
  return status;
}

absl::Status PathNotAllowed(absl::string_view field,
                            absl::string_view description,
                            absl::string_view setting) {
  return MakeForField(absl::StatusCode::kPermissionDenied, "PATH_NOT_ALLOWED",
                      field, description, setting);
}

absl::Status OptionNotAllowed(absl::string_view field,
                              absl::string_view description,
                              absl::string_view setting) {
  return MakeForField(absl::StatusCode::kPermissionDenied, "OPTION_NOT_ALLOWED",
                      field, description, setting);
}

absl::Status CredentialsRequired() {
  return Make(absl::StatusCode::kUnauthenticated, "CREDENTIALS_REQUIRED",
              "say who you are: send \"authorization: Bearer TOKEN\", or "
              "connect with a client certificate");
}

absl::Status TokenInvalid(absl::string_view description) {
  return Make(absl::StatusCode::kUnauthenticated, "TOKEN_INVALID",
              absl::StrCat("the authorization is not taken: ", description));
}

absl::Status CertificateInvalid() {
  return Make(
      absl::StatusCode::kUnauthenticated, "CERTIFICATE_INVALID",
      "the client certificate has no name: it needs a URI, DNS or email "
      "name, or a common name, of up to 250 printable characters");
}

absl::Status RoleRequired(absl::string_view role) {
  return Make(absl::StatusCode::kPermissionDenied, "ROLE_REQUIRED",
              absl::StrCat("only callers with the role ", role,
                           " may do this; the operator gives roles in "
                           "--callers_file"),
              {{"role", role}, {"setting", "--callers_file"}});
}

absl::Status PathRefused(absl::string_view field, absl::string_view what) {
  return PathNotAllowed(
      field,
      absl::StrCat(what,
                   " is missing, or outside the folders that the operator "
                   "opens to untrusted callers with --read_roots"),
      "--read_roots");
}

absl::Status Draining() {
  absl::Status status =
      Make(absl::StatusCode::kUnavailable, "DRAINING",
           "the service is stopping and takes no new builds; try again");
  AttachRetry(status, absl::Seconds(5));
  return status;
}

absl::Status Storage(absl::string_view description) {
  return Make(absl::StatusCode::kUnavailable, "STORAGE",
              absl::StrCat("the service cannot keep builds, and its operator "
                           "has to look after its --state_dir: ",
                           description));
}

absl::Status StorageSlow(absl::string_view description) {
  absl::Status status =
      Make(absl::StatusCode::kUnavailable, "STORAGE",
           absl::StrCat("the service's disk is slow or busy: ", description));
  AttachRetry(status, absl::Seconds(60));
  return status;
}

absl::Status QueueFull(int max_queued) {
  return MakeQuota(
      "QUEUE_FULL", "queue",
      absl::StrCat(max_queued,
                   " builds wait already; try again, or let the operator raise "
                   "--max_queued_builds"),
      "--max_queued_builds", absl::Seconds(10));
}

absl::Status TooManyCalls(absl::Duration delay) {
  return MakeQuota("RATE_LIMITED", "calls",
                   "you call too often; wait, or let the operator raise "
                   "--max_calls_per_second",
                   "--max_calls_per_second", delay);
}

absl::Status TooManyBuilds(int max_builds) {
  return MakeQuota(
      "RATE_LIMITED", "builds",
      absl::StrCat("you have ", max_builds,
                   " builds that run or wait; try again when one has ended, or "
                   "let the operator raise --max_builds_per_caller"),
      "--max_builds_per_caller", absl::Seconds(10));
}

absl::Status UploadInProgress() {
  absl::Status status =
      Make(absl::StatusCode::kAborted, "UPLOAD_IN_PROGRESS",
           "another call of yours sends this blob; ask FindMissingBlobs again "
           "when it has ended");
  AttachRetry(status, absl::Seconds(1));
  return status;
}

absl::Status UploadIdle(absl::Duration limit) {
  return Make(
      absl::StatusCode::kAborted, "UPLOAD_IDLE",
      absl::StrCat("no whole piece came for ", absl::FormatDuration(limit),
                   "; what came is kept: ask FindMissingBlobs, and go "
                   "on"));
}

absl::Status DownloadIdle(absl::Duration limit) {
  return Make(
      absl::StatusCode::kAborted, "DOWNLOAD_IDLE",
      absl::StrCat("no whole piece was taken for ", absl::FormatDuration(limit),
                   "; go on where you are"));
}

absl::Status TooManyUploads(int max_uploads) {
  return MakeTooManyAtOnce(
      "uploads", absl::StrCat("you send ", max_uploads,
                              " blobs at the same time already; send more "
                              "of them in one call"));
}

absl::Status TooManyDownloads(int max_downloads) {
  return MakeTooManyAtOnce(
      "downloads", absl::StrCat("you read ", max_downloads,
                                " artifacts at the same time already; wait "
                                "until one has ended"));
}

absl::Status TooManyWatches(int max_watches) {
  return MakeTooManyAtOnce(
      "watches", absl::StrCat("you read the events of ", max_watches,
                              " builds at the same time already; wait until "
                              "one has ended, or ask by ListBuilds"));
}

absl::Status TooMuchAtOnce() {
  return MakeTooManyAtOnce(
      "calls",
      "the requests that wait and the answers that are not read "
      "yet take too much memory; read answers, send fewer large "
      "calls at the same time, or ask for smaller pages");
}

absl::Status TooManyReflections() {
  return MakeTooManyAtOnce(
      "calls", "too many read the contract by reflection just now; end yours");
}

absl::Status TooMuchInBuilds() {
  return MakeQuota("RATE_LIMITED", "builds",
                   "the builds that run and wait keep too much of their "
                   "requests in memory; try again when one has ended, or send "
                   "what is large in the context",
                   /*setting=*/"", absl::Seconds(10));
}

absl::Status NoSpace(absl::string_view description, absl::string_view setting) {
  absl::Status status = Make(absl::StatusCode::kResourceExhausted, "NO_SPACE",
                             description, {{"setting", setting}});
  AttachRetry(status, absl::Seconds(60));
  return status;
}

absl::Status TooLarge(absl::string_view field, absl::string_view description,
                      absl::string_view setting) {
  return MakeForField(absl::StatusCode::kResourceExhausted, "TOO_LARGE", field,
                      description, setting);
}

absl::Status BuildNotFound(absl::string_view name) {
  return MakeNotFound("build", "containerbuilder.v1/Build", "builds/{id}",
                      name);
}

absl::Status ArtifactNotFound(absl::string_view name) {
  return MakeNotFound("artifact", "containerbuilder.v1/Artifact",
                      "builds/{id}/artifacts/{n}", name);
}

absl::Status BuildNotEnded(absl::string_view name) {
  return MakePrecondition(
      "BUILD_NOT_ENDED", name,
      absl::StrCat(name, " has not ended; cancel it before you delete it"));
}

absl::Status RequestIdReused(absl::string_view request_id) {
  absl::Status status = MakeForField(
      absl::StatusCode::kAlreadyExists, "REQUEST_ID_REUSED", "request_id",
      absl::StrCat("\"", request_id,
                   "\" was sent with another request before; send a new id for "
                   "a new request"));
  return status;
}

absl::Status SequenceOutOfRange(std::int64_t after_sequence,
                                std::int64_t last_sequence) {
  return MakeForField(
      absl::StatusCode::kOutOfRange, "SEQUENCE_OUT_OF_RANGE", "after_sequence",
      absl::StrCat(after_sequence, " is outside of 0 to ", last_sequence,
                   ", the last event that there is"));
}

absl::Status OffsetOutOfRange(std::int64_t offset, std::int64_t size) {
  return MakeForField(absl::StatusCode::kOutOfRange, "OFFSET_OUT_OF_RANGE",
                      "offset",
                      absl::StrCat(offset, " is outside of 0 to ", size,
                                   ", the artifact's size"));
}

absl::Status JournalDamaged(absl::string_view description) {
  return Make(absl::StatusCode::kDataLoss, "JOURNAL_DAMAGED", description);
}

absl::Status Internal(absl::string_view description) {
  return Make(absl::StatusCode::kInternal, "INTERNAL", description);
}

}  // namespace containerbuilder::service::errors
