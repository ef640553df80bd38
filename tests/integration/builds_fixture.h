#ifndef CONTAINERBUILDER_TESTS_INTEGRATION_BUILDS_FIXTURE_H_
#define CONTAINERBUILDER_TESTS_INTEGRATION_BUILDS_FIXTURE_H_

#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "containerbuilder/service/server.h"
#include "gmock/gmock.h"
#include "support/calls.h"
#include "support/processes.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// A real server over fake_nerdctl that can be stopped and started again on the
// same folders. Builds are held by files that the test makes: see Gate.
class BuildsTest : public testing::Test {
 protected:
  using Change = std::function<void(service::ServerOptions&)>;

  void Start(const Change& change = nullptr) {
    if (change) change(options_);
    absl::StatusOr<std::unique_ptr<service::Server>> server =
        service::Server::Create(options_);
    ASSERT_THAT(server, test_support::IsOk());
    server_ = *std::move(server);
    api_ = std::make_unique<test_support::Api>(server_->addresses()[0]);
    anonymous_ = std::make_unique<test_support::Api>(server_->addresses()[1]);
  }
  void Stop() { server_.reset(); }

  test_support::Api& api() { return *api_; }
  // A caller that is not trusted, whose paths are under read_roots.
  test_support::Api& anonymous() { return *anonymous_; }

  // A build in a context of that name, in which fake_nerdctl does what
  // `script` says.
  v1::BuildRequest Request(const std::string& name, const std::string& script) {
    folder_.WriteFile(name + "/fake.txt", script);
    v1::BuildRequest request;
    request.mutable_spec()->mutable_options()->set_context_path(
        folder_.Path(name));
    return request;
  }

  // One that says that it runs and then waits for the gate of that name.
  v1::BuildRequest HeldRequest(const std::string& gate,
                               const std::string& then = "") {
    return Request("held-" + gate, absl::StrCat("touch ", Ready(gate),
                                                "\nstdout running\nwait-file ",
                                                Gate(gate), "\n", then));
  }
  std::string Gate(const std::string& name) {
    return folder_.Path(name + ".gate");
  }
  void Open(const std::string& name) { std::ofstream(Gate(name)) << ""; }
  std::string Ready(const std::string& name) {
    return folder_.Path(name + ".ready");
  }
  void AwaitReady(const std::string& name) {
    ASSERT_TRUE(test_support::EventuallyExists(Ready(name)));
  }

  std::string Create(const v1::BuildRequest& request) {
    const absl::StatusOr<v1::Build> build = api().Create(request);
    EXPECT_THAT(build, test_support::IsOk());
    return build.ok() ? build->name() : "";
  }
  v1::Build Get(const std::string& name) {
    const absl::StatusOr<v1::Build> build = api().Get(name);
    EXPECT_THAT(build, test_support::IsOk());
    return build.ok() ? *build : v1::Build();
  }
  v1::Build Await(const std::string& name) {
    const absl::StatusOr<v1::Build> build = api().Await(name);
    EXPECT_THAT(build, test_support::IsOk());
    return build.ok() ? *build : v1::Build();
  }
  // Until the build is in that state; for states that no event tells.
  void AwaitState(const std::string& name, v1::Build::State state) {
    EXPECT_TRUE(
        test_support::Eventually([&] { return Get(name).state() == state; }));
  }

  const test_support::TempDir folder_;
  service::ServerOptions options_ = [this] {
    service::ServerOptions options;
    options.listen = {"unix://" + folder_.Path("cb.sock"), "127.0.0.1:0"};
    options.state_dir = folder_.Path("state");
    options.nerdctl = FAKE_NERDCTL;
    options.policy.read_roots = {folder_.path()};
    options.drain_timeout = absl::ZeroDuration();
    options.min_free_bytes = 0;
    return options;
  }();
  std::unique_ptr<service::Server> server_;
  std::unique_ptr<test_support::Api> api_;
  std::unique_ptr<test_support::Api> anonymous_;
};

}  // namespace containerbuilder

#endif  // CONTAINERBUILDER_TESTS_INTEGRATION_BUILDS_FIXTURE_H_
