#include "rpc/reflection_service.h"

#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/errors.h"
#include "base/limits.h"
#include "containerbuilder/reflection/v1/reflection.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/descriptor_database.h"
#include "grpcpp/support/byte_buffer.h"
#include "rpc/grpc_status.h"
#include "rpc/message_bytes.h"
#include "rpc/peer_host.h"
#include "rpc/unread_answer.h"

namespace containerbuilder::service {
namespace {

namespace pb = ::google::protobuf;
namespace rv1 = ::containerbuilder::reflection::v1;

bool IsReflection(absl::string_view method) {
  return method ==
             "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" ||
         method ==
             "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
}

// The file and what it depends on, each once.
void Describe(pb::DescriptorDatabase& database, pb::FileDescriptorProto file,
              rv1::FileDescriptorResponse& response) {
  absl::flat_hash_set<std::string> seen = {file.name()};
  std::vector<pb::FileDescriptorProto> files;
  files.push_back(std::move(file));
  while (!files.empty()) {
    const pb::FileDescriptorProto next = std::move(files.back());
    files.pop_back();
    response.add_file_descriptor_proto(next.SerializeAsString());
    for (const std::string& name : next.dependency()) {
      pb::FileDescriptorProto dependency;
      if (seen.insert(name).second &&
          database.FindFileByName(name, &dependency)) {
        files.push_back(std::move(dependency));
      }
    }
  }
}

void SetError(absl::StatusCode code, absl::string_view message,
              rv1::ReflectionResponse& response) {
  rv1::ErrorResponse& error = *response.mutable_error_response();
  error.set_error_code(static_cast<int>(code));
  error.set_error_message(std::string(message));
}

rv1::ReflectionResponse Answer(const rv1::ReflectionRequest& request,
                               const std::vector<std::string>& services) {
  pb::DescriptorPoolDatabase database(*pb::DescriptorPool::generated_pool());
  rv1::ReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  pb::FileDescriptorProto file;
  bool found = false;
  switch (request.message_request_case()) {
    case rv1::ReflectionRequest::kListServices:
      for (const std::string& name : services) {
        response.mutable_list_services_response()->add_service()->set_name(
            name);
      }
      return response;
    case rv1::ReflectionRequest::kAllExtensionNumbersOfType: {
      const std::string& type = request.all_extension_numbers_of_type();
      std::vector<int> numbers;
      if (database.FindAllExtensionNumbers(type, &numbers)) {
        rv1::ExtensionNumbersResponse& extensions =
            *response.mutable_all_extension_numbers_response();
        extensions.set_base_type_name(type);
        extensions.mutable_extension_number()->Assign(numbers.begin(),
                                                      numbers.end());
      } else {
        SetError(absl::StatusCode::kNotFound, "there is no such message",
                 response);
      }
      return response;
    }
    case rv1::ReflectionRequest::kFileByFilename:
      found = database.FindFileByName(request.file_by_filename(), &file);
      break;
    case rv1::ReflectionRequest::kFileContainingSymbol:
      found = database.FindFileContainingSymbol(
          request.file_containing_symbol(), &file);
      break;
    case rv1::ReflectionRequest::kFileContainingExtension:
      found = database.FindFileContainingExtension(
          request.file_containing_extension().containing_type(),
          request.file_containing_extension().extension_number(), &file);
      break;
    case rv1::ReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      SetError(absl::StatusCode::kInvalidArgument, "nothing is asked",
               response);
      return response;
  }
  if (found) {
    Describe(database, std::move(file),
             *response.mutable_file_descriptor_response());
  } else {
    SetError(absl::StatusCode::kNotFound, "nothing here is called so",
             response);
  }
  return response;
}

// One stream: a question is read when the last one's answer is written. It is
// kept alive by a reference of its own until OnDone, and by the work it has
// posted.
class ReflectionReactor final
    : public grpc::ServerGenericBidiReactor,
      public std::enable_shared_from_this<ReflectionReactor> {
 public:
  // `place` is kept as long as the stream is open; null where there is none.
  static ReflectionReactor* Start(grpc::GenericCallbackServerContext* context,
                                  const std::vector<std::string>* services,
                                  CallerTurns* turns, Executor* timers,
                                  std::shared_ptr<void> place) {
    std::shared_ptr<ReflectionReactor> reactor(
        new ReflectionReactor(context, services, turns));
    reactor->self_ = reactor;
    const bool has_place = place != nullptr;
    // Also where there is none: OnDone comes behind this, which ThreadSanitizer
    // sees by its lock alone.
    reactor->unread_.Await({std::move(place), limits::kMaxReflectionTime},
                           timers, reactor);
    if (has_place) {
      reactor->StartRead(&reactor->request_);
    } else {
      reactor->Finish(ToGrpcStatus(errors::TooManyReflections()));
    }
    return reactor.get();
  }

  void OnReadDone(bool ok) override {
    // OnDone comes behind what is done here, which ThreadSanitizer sees by the
    // reference alone.
    const std::shared_ptr<ReflectionReactor> reactor = shared_from_this();
    if (!ok) {
      Finish(grpc::Status::OK);
    } else if (request_.Length() > limits::kMaxReflectionRequestBytes) {
      request_.Clear();
      Finish(ToGrpcStatus(errors::RequestInvalid("that is no name")));
    } else {
      turns_->Post(host_, [reactor] { reactor->Reply(); });
    }
  }

  void OnWriteDone(bool ok) override {
    const std::shared_ptr<ReflectionReactor> reactor = shared_from_this();
    if (ok) {
      StartRead(&request_);
    } else {
      Finish(grpc::Status::CANCELLED);
    }
  }

  void OnCancel() override {
    // What is under way fails.
  }

  void OnDone() override {
    unread_.End();
    // The last use of this by gRPC.
    const std::shared_ptr<ReflectionReactor> last = std::move(self_);
  }

 private:
  ReflectionReactor(grpc::GenericCallbackServerContext* context,
                    const std::vector<std::string>* services,
                    CallerTurns* turns)
      : services_(services),
        turns_(turns),
        host_(PeerHost(context->peer())),
        unread_(context) {}

  void Reply() {
    rv1::ReflectionRequest request;
    if (!Deserialize(&request_, &request)) {
      Finish(
          ToGrpcStatus(errors::RequestInvalid("the request does not parse")));
      return;
    }
    Serialize(Answer(request, *services_), &response_);
    StartWrite(&response_);
  }

  const std::vector<std::string>* const services_;
  CallerTurns* const turns_;
  const std::string host_;
  UnreadAnswer unread_;
  std::shared_ptr<ReflectionReactor> self_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

}  // namespace

ReflectionService::ReflectionService(std::vector<std::string> services,
                                     Executor* work, Executor* timers)
    : services_(std::move(services)), timers_(timers), turns_(work, 1) {}

grpc::ServerGenericBidiReactor* ReflectionService::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  if (!IsReflection(context->method())) {
    return grpc::CallbackGenericService::CreateReactor(context);
  }
  return ReflectionReactor::Start(
      context, &services_, &turns_, timers_,
      streams_.Take(PeerHost(context->peer()), 1,
                    {.of_caller = limits::kMaxReflectionsPerHost,
                     .of_all = limits::kMaxReflections}));
}

}  // namespace containerbuilder::service
