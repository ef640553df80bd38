#ifndef CONTAINERBUILDER_TESTS_UNIT_CLIENT_FAKE_SERVICE_H_
#define CONTAINERBUILDER_TESTS_UNIT_CLIENT_FAKE_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "containerbuilder/errors/v1/error_details.pb.h"
#include "containerbuilder/v1/container_builder.grpc.pb.h"
#include "support/temp_dir.h"

namespace containerbuilder::test_support {

// Sends the events of one call, of Build or of WatchBuild.
class BuildWriter {
 public:
  // Events without a name are of that build, and those without a sequence
  // follow `after_sequence` and each other; heartbeats have none.
  BuildWriter(std::function<bool(const v1::BuildEvent&)> write,
              std::string name, std::int64_t after_sequence)
      : write_(std::move(write)),
        name_(std::move(name)),
        sequence_(after_sequence) {}

  // False when the caller has gone away.
  bool Write(v1::BuildEvent event);

 private:
  const std::function<bool(const v1::BuildEvent&)> write_;
  const std::string name_;
  std::int64_t sequence_;
};

// What a test assigns and the service's threads call.
template <typename Signature>
class Answer {
 public:
  template <typename Function>
  Answer& operator=(Function function) {
    const std::lock_guard lock(mutex_);
    function_ = std::move(function);
    return *this;
  }
  // UNIMPLEMENTED where the test said nothing.
  template <typename... Arguments>
  grpc::Status operator()(Arguments&... arguments) const {
    std::function<Signature> function;
    {
      const std::lock_guard lock(mutex_);
      function = function_;
    }
    return function ? function(arguments...)
                    : grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "");
  }

 private:
  mutable std::mutex mutex_;
  std::function<Signature> function_;
};

// A gRPC service on a unix socket of its own that answers what the test says.
class FakeService final : public v1::ContainerBuilder::Service {
 public:
  FakeService();
  ~FakeService() override;

  std::string address() const { return "unix://" + socket_path(); }
  std::string socket_path() const { return folder_.Path("fake.sock"); }

  Answer<grpc::Status(v1::HealthResponse&)> health;
  // As a service that sees the same folders, where the test says nothing else.
  Answer<grpc::Status(const v1::ConstructArgsRequest&,
                      v1::ConstructArgsResponse&)>
      construct_args;
  Answer<grpc::Status(const v1::BuildRequest&, grpc::ServerContext&,
                      BuildWriter&)>
      build;
  Answer<grpc::Status(const v1::WatchBuildRequest&, grpc::ServerContext&,
                      BuildWriter&)>
      watch_build;
  Answer<grpc::Status(const v1::CreateBuildRequest&, v1::CreateBuildResponse&)>
      create_build;
  Answer<grpc::Status(const v1::GetBuildRequest&, v1::GetBuildResponse&)>
      get_build;
  Answer<grpc::Status(const v1::ListBuildsRequest&, v1::ListBuildsResponse&)>
      list_builds;
  Answer<grpc::Status(const v1::CancelBuildRequest&, grpc::ServerContext&,
                      v1::CancelBuildResponse&)>
      cancel_build;
  Answer<grpc::Status(const v1::DeleteBuildRequest&)> delete_build;
  // Nothing is missing, where the test says nothing else.
  Answer<grpc::Status(const v1::FindMissingBlobsRequest&,
                      v1::FindMissingBlobsResponse&)>
      find_missing_blobs;

 private:
  grpc::Status Health(grpc::ServerContext* context,
                      const v1::HealthRequest* request,
                      v1::HealthResponse* response) override;
  grpc::Status ConstructArgs(grpc::ServerContext* context,
                             const v1::ConstructArgsRequest* request,
                             v1::ConstructArgsResponse* response) override;
  grpc::Status Build(grpc::ServerContext* context,
                     const v1::BuildRequest* request,
                     grpc::ServerWriter<v1::BuildResponse>* writer) override;
  grpc::Status WatchBuild(
      grpc::ServerContext* context, const v1::WatchBuildRequest* request,
      grpc::ServerWriter<v1::WatchBuildResponse>* writer) override;
  grpc::Status CreateBuild(grpc::ServerContext* context,
                           const v1::CreateBuildRequest* request,
                           v1::CreateBuildResponse* response) override;
  grpc::Status GetBuild(grpc::ServerContext* context,
                        const v1::GetBuildRequest* request,
                        v1::GetBuildResponse* response) override;
  grpc::Status ListBuilds(grpc::ServerContext* context,
                          const v1::ListBuildsRequest* request,
                          v1::ListBuildsResponse* response) override;
  grpc::Status CancelBuild(grpc::ServerContext* context,
                           const v1::CancelBuildRequest* request,
                           v1::CancelBuildResponse* response) override;
  grpc::Status DeleteBuild(grpc::ServerContext* context,
                           const v1::DeleteBuildRequest* request,
                           v1::DeleteBuildResponse* response) override;
  grpc::Status FindMissingBlobs(
      grpc::ServerContext* context, const v1::FindMissingBlobsRequest* request,
      v1::FindMissingBlobsResponse* response) override;

  TempDir folder_;
  std::unique_ptr<grpc::Server> server_;
};

// Events, as a service sends them.
v1::BuildEvent OutputEvent(v1::BuildOutput::Stream stream,
                           std::string_view bytes);
v1::BuildEvent FinishedEvent(const v1::Build& build);
v1::BuildEvent FinishedEvent(v1::Build::State state);

// False when the caller has gone away.
bool Send(BuildWriter& writer, const v1::BuildEvent& event);

// An error with ErrorInfo and one field violation.
grpc::Status Refusal(grpc::StatusCode code, const std::string& message,
                     const std::string& reason, const std::string& field,
                     const std::string& description);

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_UNIT_CLIENT_FAKE_SERVICE_H_
