#ifndef CONTAINERBUILDER_TESTS_SUPPORT_CALLS_H_
#define CONTAINERBUILDER_TESTS_SUPPORT_CALLS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "containerbuilder/v1/container_builder.grpc.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

// The RPCs by their generated stubs, one call each.
namespace containerbuilder::test_support {

// How long a call may take before a test fails for it.
inline constexpr absl::Duration kCallTimeout = absl::Minutes(2);

// A connection of its own, so that no other's failures count.
inline std::unique_ptr<v1::ContainerBuilder::Stub> MakeStub(
    const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return v1::ContainerBuilder::NewStub(grpc::CreateCustomChannel(
      address, grpc::InsecureChannelCredentials(), arguments));
}

inline absl::Status ToAbsl(const grpc::Status& status) {
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
  errors::v1::Status details;
  if (!status.ok() && details.ParseFromString(status.error_details())) {
    for (const auto& detail : details.details()) {
      result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return result;
}

// A detail of google.rpc that the error carries.
template <typename Detail>
std::optional<Detail> DetailOf(const absl::Status& status) {
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc." +
                                         Detail::descriptor()->name());
  Detail detail;
  if (!payload || !detail.ParseFromString(std::string(*payload))) {
    return std::nullopt;
  }
  return detail;
}

// Equal messages are equal bytes.
inline std::string Bytes(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

inline v1::CreateBuildRequest ToCreate(const v1::BuildRequest& request) {
  v1::CreateBuildRequest create;
  create.ParseFromString(request.SerializeAsString());  // the same fields
  return create;
}

// A call of Build or WatchBuild, read event by event.
template <typename Response>
class EventCall {
 public:
  using Reader = grpc::ClientReader<Response>;

  template <typename Start>
  EventCall(absl::Duration timeout, Start start) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    reader_ = start(&context_);
  }
  // Cancels what is not read to its end.
  ~EventCall() {
    if (reader_ == nullptr) return;
    context_.TryCancel();
    End().IgnoreError();
  }

  // The next event but heartbeats; nothing at the end.
  std::optional<v1::BuildEvent> Next() {
    Response response;
    while (reader_->Read(&response)) {
      if (!response.event().has_heartbeat()) return response.event();
      ++heartbeats_;
      if (on_heartbeat_) return response.event();
    }
    return std::nullopt;
  }
  // Next answers heartbeats, too.
  void TellHeartbeats() { on_heartbeat_ = true; }

  // All events that there are still to come, as bytes.
  std::vector<std::string> Rest() {
    std::vector<std::string> events;
    while (const auto event = Next()) events.push_back(Bytes(*event));
    return events;
  }

  // How the call ended; reads what is left.
  absl::Status End() {
    Response response;
    while (reader_->Read(&response)) {
    }
    const absl::Status status = ToAbsl(reader_->Finish());
    reader_.reset();
    return status;
  }

  void Cancel() { context_.TryCancel(); }
  int heartbeats() const { return heartbeats_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<Reader> reader_;
  int heartbeats_ = 0;
  bool on_heartbeat_ = false;
};

using BuildCall = EventCall<v1::BuildResponse>;
using WatchCall = EventCall<v1::WatchBuildResponse>;

// The service as a client sees it.
class Api {
 public:
  using Stub = v1::ContainerBuilder::Stub;

  explicit Api(const std::string& address) : stub_(MakeStub(address)) {}

  Stub& stub() { return *stub_; }

  std::unique_ptr<BuildCall> Build(const v1::BuildRequest& request,
                                   absl::Duration timeout = kCallTimeout) {
    return std::make_unique<BuildCall>(
        timeout, [&](auto* context) { return stub_->Build(context, request); });
  }
  std::unique_ptr<WatchCall> Watch(const v1::WatchBuildRequest& request,
                                   absl::Duration timeout = kCallTimeout) {
    return std::make_unique<WatchCall>(timeout, [&](auto* context) {
      return stub_->WatchBuild(context, request);
    });
  }
  std::unique_ptr<WatchCall> Watch(const std::string& name,
                                   std::int64_t after_sequence = 0,
                                   bool no_follow = false) {
    v1::WatchBuildRequest request;
    request.set_name(name);
    request.set_after_sequence(after_sequence);
    request.set_no_follow(no_follow);
    return Watch(request);
  }

  absl::StatusOr<v1::Build> Create(const v1::BuildRequest& request) {
    v1::CreateBuildResponse response;
    const absl::Status status =
        Call(&Stub::CreateBuild, ToCreate(request), response);
    if (!status.ok()) return status;
    return response.build();
  }
  absl::StatusOr<v1::Build> Get(const std::string& name) {
    v1::GetBuildRequest request;
    request.set_name(name);
    v1::GetBuildResponse response;
    const absl::Status status = Call(&Stub::GetBuild, request, response);
    if (!status.ok()) return status;
    return response.build();
  }
  absl::StatusOr<v1::ListBuildsResponse> List(
      const v1::ListBuildsRequest& request = {}) {
    v1::ListBuildsResponse response;
    const absl::Status status = Call(&Stub::ListBuilds, request, response);
    if (!status.ok()) return status;
    return response;
  }
  absl::StatusOr<v1::Build> Cancel(const std::string& name,
                                   absl::Duration timeout = kCallTimeout) {
    v1::CancelBuildRequest request;
    request.set_name(name);
    v1::CancelBuildResponse response;
    const absl::Status status =
        Call(&Stub::CancelBuild, request, response, timeout);
    if (!status.ok()) return status;
    return response.build();
  }
  absl::Status Delete(const std::string& name) {
    v1::DeleteBuildRequest request;
    request.set_name(name);
    v1::DeleteBuildResponse response;
    return Call(&Stub::DeleteBuild, request, response);
  }

  // The build once it has ended, which a watch tells.
  absl::StatusOr<v1::Build> Await(const std::string& name) {
    const auto watch = Watch(name);
    std::optional<v1::BuildEvent> last;
    while (auto event = watch->Next()) last = std::move(event);
    absl::Status end = watch->End();
    if (!end.ok()) return end;
    if (!last || !last->has_finished()) {
      return absl::DataLossError("the stream ended without finished");
    }
    return last->finished().build();
  }

 private:
  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Response*),
                    const Request& request, Response& response,
                    absl::Duration timeout = kCallTimeout) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    return ToAbsl((stub_.get()->*method)(&context, request, &response));
  }

  const std::unique_ptr<Stub> stub_;
};

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_SUPPORT_CALLS_H_
