// Uploads a folder as the client library does, and builds it:
//
//   upload ADDRESS FOLDER
//
// Prints `SENT_BLOBS SENT_BYTES READ UPLOAD BUILD`: what the service lacked,
// and the seconds of reading (and hashing) the folder, of sending it, and of a
// build of it, in which the service unpacks it.

#include <chrono>
#include <cstdint>
#include <cstdio>

#include "containerbuilder/client/client.h"

namespace {

using containerbuilder::client::Client;
using containerbuilder::client::LocalContext;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point& begin) {
  const std::chrono::duration<double> seconds = Clock::now() - begin;
  begin = Clock::now();
  return seconds.count();
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  Client client({.address = argv[1]});
  // To have the connection.
  if (const auto health = client.Health(); !health.ok()) {
    return Fail(health.status());
  }
  Clock::time_point begin = Clock::now();
  const auto context = LocalContext::Read(argv[2]);
  if (!context.ok()) return Fail(context.status());
  const double read = SecondsSince(begin);
  const auto uploaded = client.UploadContext(*context);
  if (!uploaded.ok()) return Fail(uploaded.status());
  const double upload = SecondsSince(begin);
  containerbuilder::v1::BuildRequest request;
  request.mutable_spec()->set_context_digest(uploaded->digest);
  for (const auto& event : client.Build(request)) {
    if (!event.ok()) return Fail(event.status());
  }
  const double build = SecondsSince(begin);
  std::printf("%lld %lld %.4f %.4f %.4f\n",
              static_cast<long long>(uploaded->sent_blobs),
              static_cast<long long>(uploaded->sent_bytes), read, upload,
              build);
  return 0;
}
