// Many watchers of one build, who compare what they get byte for byte:
//
//   watchers ADDRESS NAME COUNT CHANNELS GO
//
// COUNT calls of WatchBuild from the first event on, spread over CHANNELS
// connections. When each has had an event, the file GO is made, for which the
// build waits. Prints, when all calls have ended, `EVENTS OUTPUT_BYTES SECONDS
// CRC`: what each got, how long after GO the last had it, and the CRC-32C of
// the output. Exit code 1 where one got something else or ended badly.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "base/crc32c.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace {

namespace v1 = containerbuilder::v1;
using Clock = std::chrono::steady_clock;

// What the first to get a message got; all others must get the same.
class Expected {
 public:
  bool Check(std::size_t index, const std::string& message) {
    absl::MutexLock lock(&mutex_);
    if (index < messages_.size()) return messages_[index] == message;
    messages_.push_back(message);
    return true;
  }
  const std::vector<std::string>& messages() const { return messages_; }

 private:
  absl::Mutex mutex_;
  std::vector<std::string> messages_;
};

class Watcher final
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Watcher(grpc::GenericStub* stub, const std::string& name, Expected* expected,
          absl::BlockingCounter* begun, absl::BlockingCounter* ended)
      : expected_(expected), begun_(begun), ended_(ended) {
    v1::WatchBuildRequest request;
    request.set_name(name);
    const grpc::Slice slice(request.SerializeAsString());
    request_ = grpc::ByteBuffer(&slice, 1);
    stub->PrepareBidiStreamingCall(
        &context_, "/containerbuilder.v1.ContainerBuilder/WatchBuild", {},
        this);
    StartWriteLast(&request_, {});
    StartRead(&response_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (count_ == 0) begun_->DecrementCount();
    std::vector<grpc::Slice> slices;
    response_.Dump(&slices);
    std::string message;
    for (const grpc::Slice& slice : slices) {
      message.append(reinterpret_cast<const char*>(slice.begin()),
                     slice.size());
    }
    if (!expected_->Check(count_++, message)) good_ = false;
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    if (!status.ok()) {
      std::fprintf(stderr, "a watch ended: %s\n",
                   status.error_message().c_str());
      good_ = false;
    }
    if (count_ == 0) begun_->DecrementCount();
    ended_->DecrementCount();
  }

  bool good() const { return good_; }
  std::size_t count() const { return count_; }

 private:
  Expected* const expected_;
  absl::BlockingCounter* const begun_;
  absl::BlockingCounter* const ended_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  std::size_t count_ = 0;
  bool good_ = true;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const std::string address = argv[1];
  const std::string name = argv[2];
  const int count = std::atoi(argv[3]);
  const int channels = std::atoi(argv[4]);

  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  for (int i = 0; i < channels; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stubs.push_back(
        std::make_unique<grpc::GenericStub>(grpc::CreateCustomChannel(
            address, grpc::InsecureChannelCredentials(), arguments)));
  }
  Expected expected;
  absl::BlockingCounter begun(count);
  absl::BlockingCounter ended(count);
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < count; ++i) {
    watchers.push_back(std::make_unique<Watcher>(
        stubs[i % channels].get(), name, &expected, &begun, &ended));
  }
  begun.Wait();
  const Clock::time_point go = Clock::now();
  std::ofstream(argv[5]).close();
  ended.Wait();
  const std::chrono::duration<double> seconds = Clock::now() - go;

  bool good = true;
  for (const auto& watcher : watchers) {
    good &= watcher->good() && watcher->count() == expected.messages().size();
  }
  std::size_t bytes = 0;
  std::uint32_t crc = 0;
  v1::WatchBuildResponse response;
  for (const std::string& message : expected.messages()) {
    good &= response.ParseFromString(message);
    const std::string& data = response.event().output().data();
    bytes += data.size();
    crc = containerbuilder::service::ExtendCrc32c(crc, data);
  }
  good &= response.event().has_finished();
  std::printf("%zu %zu %.3f %08x\n", expected.messages().size(), bytes,
              seconds.count(), crc);
  std::fflush(stdout);
  std::_Exit(good ? 0 : 1);
}
