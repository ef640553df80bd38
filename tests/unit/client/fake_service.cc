#include "unit/client/fake_service.h"

#include <grpc/grpc.h>

#include <chrono>
#include <filesystem>

namespace containerbuilder::test_support {

namespace {

// Answers texts of build_arg and label as a service does that sees the caller's
// folders: absolute where they exist.
grpc::Status SeesTheSameFolders(const v1::ConstructArgsRequest& request,
                                v1::ConstructArgsResponse& response) {
  const auto add = [&response](const char* flag, const v1::OptionValue& value) {
    if (!value.has_text()) return;
    const std::filesystem::path path = value.text();
    response.add_args(flag);
    response.add_args(std::filesystem::exists(path)
                          ? path.lexically_normal().string()
                          : value.text());
  };
  add("--build-arg", request.options().build_arg());
  add("--label", request.options().label());
  response.add_args(".");
  return grpc::Status::OK;
}

}  // namespace

FakeService::FakeService() {
  // Keeps gRPC up until the program ends: its last shutdown can wait ten
  // seconds for a poller of its own.
  grpc_init();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address(), grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  construct_args = SeesTheSameFolders;
  find_missing_blobs = [](const auto&, auto&) { return grpc::Status::OK; };
  server_ = builder.BuildAndStart();
}

FakeService::~FakeService() {
  // Calls that still run are cancelled.
  server_->Shutdown(std::chrono::system_clock::now());
}

bool BuildWriter::Write(v1::BuildEvent event) {
  if (event.name().empty()) event.set_name(name_);
  if (!event.has_heartbeat()) {
    if (event.sequence() == 0) event.set_sequence(sequence_ + 1);
    sequence_ = event.sequence();
  }
  return write_(event);
}

grpc::Status FakeService::Health(grpc::ServerContext*, const v1::HealthRequest*,
                                 v1::HealthResponse* response) {
  return health(*response);
}

grpc::Status FakeService::ConstructArgs(grpc::ServerContext*,
                                        const v1::ConstructArgsRequest* request,
                                        v1::ConstructArgsResponse* response) {
  return construct_args(*request, *response);
}

grpc::Status FakeService::Build(grpc::ServerContext* context,
                                const v1::BuildRequest* request,
                                grpc::ServerWriter<v1::BuildResponse>* writer) {
  BuildWriter events(
      [writer](const v1::BuildEvent& event) {
        v1::BuildResponse response;
        *response.mutable_event() = event;
        return writer->Write(response);
      },
      "builds/1", 0);
  return build(*request, *context, events);
}

grpc::Status FakeService::WatchBuild(
    grpc::ServerContext* context, const v1::WatchBuildRequest* request,
    grpc::ServerWriter<v1::WatchBuildResponse>* writer) {
  BuildWriter events(
      [writer](const v1::BuildEvent& event) {
        v1::WatchBuildResponse response;
        *response.mutable_event() = event;
        return writer->Write(response);
      },
      request->name(), request->after_sequence());
  return watch_build(*request, *context, events);
}

grpc::Status FakeService::CreateBuild(grpc::ServerContext*,
                                      const v1::CreateBuildRequest* request,
                                      v1::CreateBuildResponse* response) {
  return create_build(*request, *response);
}

grpc::Status FakeService::GetBuild(grpc::ServerContext*,
                                   const v1::GetBuildRequest* request,
                                   v1::GetBuildResponse* response) {
  return get_build(*request, *response);
}

grpc::Status FakeService::ListBuilds(grpc::ServerContext*,
                                     const v1::ListBuildsRequest* request,
                                     v1::ListBuildsResponse* response) {
  return list_builds(*request, *response);
}

grpc::Status FakeService::CancelBuild(grpc::ServerContext* context,
                                      const v1::CancelBuildRequest* request,
                                      v1::CancelBuildResponse* response) {
  return cancel_build(*request, *context, *response);
}

grpc::Status FakeService::DeleteBuild(grpc::ServerContext*,
                                      const v1::DeleteBuildRequest* request,
                                      v1::DeleteBuildResponse*) {
  return delete_build(*request);
}

grpc::Status FakeService::FindMissingBlobs(
    grpc::ServerContext*, const v1::FindMissingBlobsRequest* request,
    v1::FindMissingBlobsResponse* response) {
  return find_missing_blobs(*request, *response);
}

v1::BuildEvent OutputEvent(v1::BuildOutput::Stream stream,
                           std::string_view bytes) {
  v1::BuildEvent event;
  event.mutable_output()->set_stream(stream);
  event.mutable_output()->set_data(std::string(bytes));
  return event;
}

v1::BuildEvent FinishedEvent(const v1::Build& build) {
  v1::BuildEvent event;
  *event.mutable_finished()->mutable_build() = build;
  return event;
}

v1::BuildEvent FinishedEvent(v1::Build::State state) {
  v1::Build build;
  build.set_state(state);
  return FinishedEvent(build);
}

bool Send(BuildWriter& writer, const v1::BuildEvent& event) {
  return writer.Write(event);
}

grpc::Status Refusal(grpc::StatusCode code, const std::string& message,
                     const std::string& reason, const std::string& field,
                     const std::string& description) {
  errors::v1::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("containerbuilder.v1");
  (*info.mutable_metadata())["option"] = "tag";
  errors::v1::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field(field);
  violation->set_description(description);

  errors::v1::Status details;
  details.set_code(code);
  details.set_message(message);
  auto* detail = details.add_details();
  detail->set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  detail->set_value(info.SerializeAsString());
  detail = details.add_details();
  detail->set_type_url("type.googleapis.com/google.rpc.BadRequest");
  detail->set_value(bad_request.SerializeAsString());
  return grpc::Status(code, message, details.SerializeAsString());
}

}  // namespace containerbuilder::test_support
