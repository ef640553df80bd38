#include "containerbuilder/client/client.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_format.h"
#include "artifact_download.h"
#include "async_follower.h"
#include "context_uploader.h"
#include "resuming_event_source.h"
#include "uploading_event_source.h"

namespace containerbuilder::client {
namespace {

// The service's own default of `linger`.
constexpr absl::Duration kDefaultLinger = absl::Seconds(60);

// A random UUID (version 4).
std::string RandomRequestId(Platform& platform) {
  const std::uint64_t high = platform.Random();
  const std::uint64_t low = platform.Random();
  return absl::StrFormat("%08x-%04x-4%03x-%04x-%012x", high >> 32,
                         (high >> 16) & 0xffff, high & 0xfff,
                         0x8000 | (low >> 48 & 0x3fff), low & 0xffffffffffff);
}

// How long the service lets the build go on without anybody; the default where
// it does so for ever.
absl::Duration Linger(const v1::BuildPolicy& policy) {
  const absl::Duration linger = absl::Seconds(policy.linger().seconds()) +
                                absl::Nanoseconds(policy.linger().nanos());
  return policy.disconnect_policy() == v1::DISCONNECT_POLICY_LINGER &&
                 linger > absl::ZeroDuration()
             ? linger
             : kDefaultLinger;
}

}  // namespace

Client::Client(const ClientOptions& options)
    : Client(MakeConnection(options), options) {}

Client::Client(std::shared_ptr<Connection> connection,
               const ClientOptions& options)
    : connection_(std::move(connection)),
      platform_(options.platform != nullptr ? options.platform
                                            : MakePlatform()),
      resume_limit_(options.resume_limit),
      wait_for_ready_(options.wait_for_ready) {}

absl::StatusOr<v1::HealthResponse> Client::Health() {
  return connection_->Health(v1::HealthRequest());
}

absl::StatusOr<v1::ConstructArgsResponse> Client::ConstructArgs(
    const v1::BuildOptions& options) {
  v1::ConstructArgsRequest request;
  *request.mutable_options() = options;
  return connection_->ConstructArgs(request);
}

BuildStream Client::Build(const v1::BuildRequest& request) {
  return BuildStream(MakeBuildSource(request));
}

BuildStream Client::Build(const v1::BuildRequest& request,
                          std::shared_ptr<const LocalContext> context,
                          const UploadOptions& options) {
  v1::BuildRequest with_context = request;
  with_context.mutable_spec()->set_context_digest(context->digest());
  return BuildStream(std::make_unique<UploadingEventSource>(
      [client = *this, context = std::move(context),
       options](const std::stop_token& stop) mutable {
        std::stop_source either;
        const auto request_stop = [&either] { either.request_stop(); };
        const std::stop_callback of_stream(stop, request_stop);
        const std::stop_callback of_caller(options.stop, request_stop);
        UploadOptions upload = options;
        upload.stop = either.get_token();
        return client.UploadContext(*context, upload).status();
      },
      [client = *this, with_context]() mutable {
        return client.MakeBuildSource(with_context);
      }));
}

bool Client::Resumes(const v1::BuildRequest& request) const {
  return resume_limit_ != absl::ZeroDuration() &&
         request.policy().disconnect_policy() != v1::DISCONNECT_POLICY_CANCEL;
}

v1::BuildRequest Client::Resumable(v1::BuildRequest request) const {
  v1::BuildPolicy& policy = *request.mutable_policy();
  if (policy.disconnect_policy() == v1::DISCONNECT_POLICY_UNSPECIFIED) {
    policy.set_disconnect_policy(v1::DISCONNECT_POLICY_LINGER);
    if (!policy.has_linger()) {
      policy.mutable_linger()->set_seconds(
          absl::ToInt64Seconds(kDefaultLinger));
    }
  }
  if (request.request_id().empty()) {
    request.set_request_id(RandomRequestId(*platform_));
  }
  return request;
}

std::unique_ptr<BuildEventSource> Client::MakeBuildSource(
    const v1::BuildRequest& request) {
  if (!Resumes(request)) return connection_->Build(request);
  v1::BuildRequest resumable = Resumable(request);
  const ResumeOptions options = {
      resume_limit_.value_or(Linger(resumable.policy())), wait_for_ready_};
  return std::make_unique<ResumingEventSource>(connection_, platform_, options,
                                               std::move(resumable));
}

AsyncBuild Client::BuildAsync(const v1::BuildRequest& request,
                              std::shared_ptr<BuildObserver> observer) {
  const bool resumes = Resumes(request);
  v1::BuildRequest sent = resumes ? Resumable(request) : request;
  const ResumeOptions options = {resume_limit_.value_or(Linger(sent.policy())),
                                 wait_for_ready_, resumes};
  auto follower = std::make_shared<AsyncBuild::Follower>(
      connection_, platform_, options, std::move(sent), std::move(observer));
  follower->Start();
  return AsyncBuild(std::move(follower));
}

AsyncBuild Client::WatchAsync(const v1::WatchBuildRequest& request,
                              std::shared_ptr<BuildObserver> observer) {
  const ResumeOptions options = {resume_limit_.value_or(kDefaultLinger),
                                 wait_for_ready_,
                                 resume_limit_ != absl::ZeroDuration()};
  auto follower = std::make_shared<AsyncBuild::Follower>(
      connection_, platform_, options, request, std::move(observer));
  follower->Start();
  return AsyncBuild(std::move(follower));
}

BuildStream Client::Watch(absl::string_view name, std::int64_t after_sequence) {
  v1::WatchBuildRequest request;
  request.set_name(std::string(name));
  request.set_after_sequence(after_sequence);
  return Watch(request);
}

BuildStream Client::Watch(const v1::WatchBuildRequest& request) {
  const bool must_finish = !request.no_follow();
  if (resume_limit_ == absl::ZeroDuration()) {
    return BuildStream(connection_->WatchBuild(request), must_finish);
  }
  const ResumeOptions options = {resume_limit_.value_or(kDefaultLinger),
                                 wait_for_ready_};
  return BuildStream(std::make_unique<ResumingEventSource>(
                         connection_, platform_, options, request),
                     must_finish);
}

absl::StatusOr<v1::Build> Client::CreateBuild(
    const v1::CreateBuildRequest& request) {
  auto response = connection_->CreateBuild(request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_build());
}

absl::StatusOr<v1::Build> Client::CreateBuild(
    const v1::CreateBuildRequest& request, const LocalContext& context,
    const UploadOptions& options) {
  v1::CreateBuildRequest with_context = request;
  with_context.mutable_spec()->set_context_digest(context.digest());
  for (int uploads = 1;; ++uploads) {
    const auto uploaded = UploadContext(context, options);
    if (!uploaded.ok()) return uploaded.status();
    auto build = CreateBuild(with_context);
    if (build.ok() || !IsBlobsMissing(build.status()) ||
        uploads == kMaxUploads) {
      return build;
    }
  }
}

absl::Duration Client::TransferLimit() const {
  return resume_limit_.value_or(kDefaultLinger);
}

absl::StatusOr<UploadedContext> Client::UploadContext(
    const LocalContext& context, const UploadOptions& options) {
  return client::UploadContext(*connection_, *platform_, TransferLimit(),
                               context, options);
}

absl::Status Client::DownloadArtifact(const v1::Artifact& artifact,
                                      const std::string& path,
                                      const DownloadOptions& options) {
  return DownloadToPath(*connection_, *platform_, TransferLimit(), artifact,
                        path, options);
}

absl::Status Client::DownloadArtifact(
    const v1::Artifact& artifact,
    const std::function<absl::Status(std::string_view bytes)>& sink,
    const DownloadOptions& options) {
  return DownloadBytes(*connection_, *platform_, TransferLimit(), artifact,
                       sink, options);
}

absl::StatusOr<v1::Build> Client::GetBuild(absl::string_view name) {
  v1::GetBuildRequest request;
  request.set_name(std::string(name));
  auto response = connection_->GetBuild(request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_build());
}

BuildList Client::ListBuilds(const v1::ListBuildsRequest& request) {
  return BuildList(
      [connection = connection_](const v1::ListBuildsRequest& page) {
        return connection->ListBuilds(page);
      },
      request);
}

absl::StatusOr<v1::ListBuildsResponse> Client::ListBuildsPage(
    const v1::ListBuildsRequest& request) {
  return connection_->ListBuilds(request);
}

absl::StatusOr<v1::Build> Client::CancelBuild(absl::string_view name,
                                              absl::Duration wait) {
  v1::CancelBuildRequest request;
  request.set_name(std::string(name));
  auto response = connection_->CancelBuild(request, wait);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_build());
}

absl::Status Client::DeleteBuild(absl::string_view name) {
  v1::DeleteBuildRequest request;
  request.set_name(std::string(name));
  return connection_->DeleteBuild(request).status();
}

}  // namespace containerbuilder::client
