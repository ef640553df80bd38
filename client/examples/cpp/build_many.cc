// Builds many contexts at once, with no thread for each, and prints what each
// of the builds became:
//
//   containerbuilder_build_many unix:///run/cb.sock /path/to/a /path/to/b ...
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "containerbuilder/client/client.h"

namespace {

using containerbuilder::client::BuildObserver;
using containerbuilder::client::Client;
using containerbuilder::v1::BuildEvent;
using containerbuilder::v1::BuildRequest;

// What all builds have in common.
class Report {
 public:
  explicit Report(int builds) : left_(builds) {}

  void Add(const std::string& context, const absl::Status& status) {
    {
      const absl::MutexLock lock(&mutex_);
      (status.ok() ? std::cout : std::cerr)
          << context << ": " << status.ToString() << std::endl;
      all_ok_ = all_ok_ && status.ok();
    }
    left_.DecrementCount();
  }
  // Blocks until each build was added; then whether all succeeded.
  bool Wait() {
    left_.Wait();
    const absl::MutexLock lock(&mutex_);
    return all_ok_;
  }

 private:
  absl::Mutex mutex_;
  bool all_ok_ = true;
  absl::BlockingCounter left_;
};

// One build. Its methods are called one at a time, by threads that all builds
// share: they must not block.
class OneBuild final : public BuildObserver {
 public:
  OneBuild(std::string context, Report* report)
      : context_(std::move(context)), report_(report) {}

  void OnEvent(BuildEvent event) override {
    if (event.has_started()) std::cout << context_ + ": started\n";
  }
  void OnDone(const absl::Status& status) override {
    report_->Add(context_, status);
  }

 private:
  const std::string context_;
  Report* const report_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: " << argv[0] << " ADDRESS CONTEXT...\n";
    return 2;
  }
  Client client({.address = argv[1]});
  Report report(argc - 2);
  for (int i = 2; i < argc; ++i) {
    BuildRequest request;
    request.mutable_spec()->mutable_options()->set_context_path(argv[i]);
    // The answer could cancel the build; here nobody does.
    client.BuildAsync(request, std::make_shared<OneBuild>(argv[i], &report));
  }
  return report.Wait() ? 0 : 1;
}
