#include "rpc/open_streams.h"

#include <algorithm>
#include <cstddef>

#include "absl/algorithm/container.h"
#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "grpc/grpc.h"
#include "grpc/support/alloc.h"

namespace containerbuilder::service {
namespace {

using google::protobuf::ListValue;
using google::protobuf::Struct;
using google::protobuf::Value;

// What one call of channelz answers at most; more than it gives by itself.
constexpr std::int64_t kPage = 1000;
// Those that have ended are forgotten when there are so many.
constexpr std::size_t kMostRemembered = 10'000;
// A connection is numbered a moment before it can be found, so later numbers
// may have been found before it.
constexpr std::int64_t kOverlap = 1000;

// Takes the text over. Empty where gRPC knows nothing of that number.
Struct Parsed(char* json) {
  Struct parsed;
  if (json == nullptr) return parsed;
  const absl::Cleanup free = [json] { gpr_free(json); };
  if (!google::protobuf::util::JsonStringToMessage(json, &parsed).ok()) {
    parsed.Clear();
  }
  return parsed;
}

const Value& Field(const Struct& from, const std::string& name) {
  const auto found = from.fields().find(name);
  return found == from.fields().end() ? Value::default_instance()
                                      : found->second;
}

// JSON has 64 bits as text, and leaves out what is 0.
std::int64_t Number(const Struct& from, const std::string& name) {
  std::int64_t number = 0;
  return absl::SimpleAtoi(Field(from, name).string_value(), &number) ? number
                                                                     : 0;
}

}  // namespace

std::vector<std::int64_t> OpenStreams::Count(
    absl::Span<const std::string> peers) {
  if (!absl::c_all_of(peers, [this](const std::string& peer) {
        return sockets_.contains(peer);
      })) {
    FindNew();
  }
  std::vector<std::int64_t> counts;
  for (const std::string& peer : peers) counts.push_back(CountOne(peer));
  return counts;
}

std::int64_t OpenStreams::CountOne(const std::string& peer) {
  const auto found = sockets_.find(peer);
  if (found == sockets_.end()) return 0;
  const Struct answer = Parsed(grpc_channelz_get_socket(found->second));
  if (answer.fields().empty()) {
    sockets_.erase(found);
    return 0;
  }
  const Struct& data =
      Field(Field(answer, "socket").struct_value(), "data").struct_value();
  return Number(data, "streamsStarted") - Number(data, "streamsSucceeded") -
         Number(data, "streamsFailed");
}

void OpenStreams::FindNew() {
  if (sockets_.size() >= kMostRemembered) {
    sockets_.clear();
    newest_ = 0;
  }
  const std::int64_t first = std::max<std::int64_t>(newest_ - kOverlap, 0);
  const Struct answer = Parsed(grpc_channelz_get_servers(0));
  for (const Value& server : Field(answer, "server").list_value().values()) {
    FindNewOf(
        Number(Field(server.struct_value(), "ref").struct_value(), "serverId"),
        first);
  }
}

void OpenStreams::FindNewOf(std::int64_t server, std::int64_t first) {
  while (true) {
    const Struct answer =
        Parsed(grpc_channelz_get_server_sockets(server, first, kPage));
    const ListValue& refs = Field(answer, "socketRef").list_value();
    for (const Value& value : refs.values()) {
      const Struct& ref = value.struct_value();
      const std::int64_t socket = Number(ref, "socketId");
      first = socket + 1;
      newest_ = std::max(newest_, socket);
      absl::string_view name = Field(ref, "name").string_value();
      if (!absl::ConsumePrefix(&name, "chttp2 ")) continue;
      std::int64_t& known = sockets_[std::string(name)];
      known = std::max(known, socket);
    }
    if (refs.values().empty() || Field(answer, "end").bool_value()) return;
  }
}

}  // namespace containerbuilder::service
