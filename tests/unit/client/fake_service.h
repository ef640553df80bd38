#ifndef CONTAINERBUILDER_TESTS_UNIT_CLIENT_FAKE_SERVICE_H_
#define CONTAINERBUILDER_TESTS_UNIT_CLIENT_FAKE_SERVICE_H_

#include <grpcpp/grpcpp.h>

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

using BuildWriter = grpc::ServerWriter<v1::BuildResponse>;

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
  std::function<Signature> get() const {
    const std::lock_guard lock(mutex_);
    return function_;
  }

 private:
  mutable std::mutex mutex_;
  std::function<Signature> function_;
};

// A gRPC service on a unix socket of its own that answers what the test says.
// Set the answers before the first call.
class FakeService final : public v1::ContainerBuilder::Service {
 public:
  FakeService();
  ~FakeService() override;

  std::string address() const { return "unix://" + socket_path(); }
  std::string socket_path() const { return folder_.Path("fake.sock"); }

  Answer<grpc::Status(v1::HealthResponse&)> health;
  Answer<grpc::Status(const v1::ConstructArgsRequest&,
                      v1::ConstructArgsResponse&)>
      construct_args;
  Answer<grpc::Status(const v1::BuildRequest&, grpc::ServerContext&,
                      BuildWriter&)>
      build;

 private:
  grpc::Status Health(grpc::ServerContext* context,
                      const v1::HealthRequest* request,
                      v1::HealthResponse* response) override;
  grpc::Status ConstructArgs(grpc::ServerContext* context,
                             const v1::ConstructArgsRequest* request,
                             v1::ConstructArgsResponse* response) override;
  grpc::Status Build(grpc::ServerContext* context,
                     const v1::BuildRequest* request,
                     BuildWriter* writer) override;

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
