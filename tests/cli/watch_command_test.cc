#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "cli/program.h"
#include "unit/client/cutting_proxy.h"
#include "unit/client/fake_service.h"

namespace containerbuilder {
namespace {

using test_support::BuildWriter;
using test_support::CuttingProxy;
using test_support::FakeService;
using test_support::FinishedEvent;
using test_support::Invocation;
using test_support::OutputEvent;
using test_support::Program;
using test_support::ProgramResult;
using test_support::Refusal;
using test_support::RunProgram;
using test_support::Send;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr auto kStdout = v1::BuildOutput::STREAM_STDOUT;
constexpr auto kStderr = v1::BuildOutput::STREAM_STDERR;

class WatchCommandTest : public testing::Test {
 protected:
  WatchCommandTest() {
    service_.watch_build = [this](const v1::WatchBuildRequest& request, auto&,
                                  BuildWriter& writer) {
      request_ = request;
      for (auto i = request.after_sequence(); i < kOutputs; ++i) {
        Send(writer,
             OutputEvent(i % 2 == 0 ? kStdout : kStderr,
                         std::string(1000, static_cast<char>('a' + i))));
      }
      if (!request.no_follow()) Send(writer, FinishedEvent(build_));
      return grpc::Status::OK;
    };
    build_.set_state(v1::Build::STATE_SUCCEEDED);
  }

  static Invocation Watch(const std::string& address,
                          const std::vector<std::string>& arguments) {
    Invocation invocation{.program = CONTAINER_BUILDER,
                          .arguments = {"--address=" + address, "watch"}};
    invocation.arguments.insert(invocation.arguments.end(), arguments.begin(),
                                arguments.end());
    return invocation;
  }
  ProgramResult Run(const std::vector<std::string>& arguments) const {
    return RunProgram(Watch(service_.address(), arguments));
  }

  static constexpr std::int64_t kOutputs = 10;
  FakeService service_;
  v1::WatchBuildRequest request_;  // the last one
  v1::Build build_;
};

TEST_F(WatchCommandTest, PrintsEachStreamWhereItBelongs) {
  for (const char* name : {"7", "builds/7"}) {
    const ProgramResult result = Run({name});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.out, SizeIs(5000));
    EXPECT_THAT(result.out, StartsWith("aaa"));
    EXPECT_THAT(result.err, SizeIs(5000));
    EXPECT_THAT(result.err, StartsWith("bbb"));
    EXPECT_EQ(request_.name(), "builds/7");
    EXPECT_EQ(request_.after_sequence(), 0);
    EXPECT_FALSE(request_.no_follow());
  }
}

TEST_F(WatchCommandTest, BeginsAfterAnEvent) {
  const ProgramResult result = Run({"7", "--after", "8"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, std::string(1000, 'i'));
  EXPECT_EQ(result.err, std::string(1000, 'j'));
}

TEST_F(WatchCommandTest, NoFollowEndsWell) {
  const ProgramResult result = Run({"--no-follow", "7"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, SizeIs(5000));
  EXPECT_TRUE(request_.no_follow());
}

TEST_F(WatchCommandTest, ExitsAsBuildDoes) {
  build_.set_state(v1::Build::STATE_FAILED);
  build_.set_exit_code(37);
  EXPECT_EQ(Run({"7"}).exit_code, 37);
  build_.set_exit_code(0);
  build_.set_term_signal(9);
  EXPECT_EQ(Run({"7"}).exit_code, 137);
  build_.mutable_failure()->set_reason("NO_SPACE");
  EXPECT_EQ(Run({"7"}).exit_code, 72);
  build_.mutable_failure()->set_message("stopped");
  for (const auto& [state, exit_code] :
       std::vector<std::pair<v1::Build::State, int>>{
           {v1::Build::STATE_CANCELLED, 65},
           {v1::Build::STATE_TIMED_OUT, 68},
           {v1::Build::STATE_EXPIRED, 68},
           {v1::Build::STATE_INTERRUPTED, 78}}) {
    build_.set_state(state);
    const ProgramResult result = Run({"7"});
    EXPECT_EQ(result.exit_code, exit_code);
    EXPECT_THAT(result.err, EndsWith("container-builder: stopped\n"));
  }
}

TEST_F(WatchCommandTest, FormatJsonIsAnEventPerLine) {
  const ProgramResult result = Run({"7", "--after=9", "--format=json"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out,
              StartsWith(R"({"name":"builds/7","sequence":"10","output":{)"
                         R"("stream":"STREAM_STDERR","data":"ampq)"));
  EXPECT_THAT(result.out,
              EndsWith("\n"
                       R"({"name":"builds/7","sequence":"11","finished":{)"
                       R"("build":{"state":"STATE_SUCCEEDED"}}})"
                       "\n"));
  EXPECT_THAT(result.err, IsEmpty());
}

TEST_F(WatchCommandTest, ALostConnectionIsInvisible) {
  const ProgramResult whole = Run({"7"});
  const CuttingProxy proxy(service_.socket_path(), {2000, 50, 0, 3333});
  const ProgramResult cut = RunProgram(Watch(proxy.address(), {"7"}));
  EXPECT_EQ(cut.exit_code, 0);
  EXPECT_TRUE(cut.out == whole.out);
  EXPECT_TRUE(cut.err == whole.err);
  EXPECT_GE(proxy.connections(), 5);
}

TEST_F(WatchCommandTest, InterruptLeavesTheBuildAlone) {
  std::atomic<bool> cancelled = false;
  service_.cancel_build = [&](const auto&, auto&, auto&) {
    cancelled = true;
    return grpc::Status::OK;
  };
  for (const int signal : {SIGINT, SIGTERM}) {
    std::promise<void> gone;
    service_.watch_build = [&](const auto&, auto&, BuildWriter& writer) {
      // More than a pipe holds, so that it is stuck in this when the rest is
      // not read.
      while (Send(writer, OutputEvent(kStderr, "ready")) &&
             Send(writer, OutputEvent(kStdout, std::string(256 * 1024, 'x')))) {
      }
      gone.set_value();
      return grpc::Status::CANCELLED;
    };
    Program program(Watch(service_.address(), {"7"}));
    program.WaitForErr("ready");
    program.Signal(signal);
    EXPECT_EQ(program.WaitUnread(), 128 + signal);
    EXPECT_EQ(program.err().find("container-builder"), std::string::npos);
    gone.get_future().wait();
  }
  EXPECT_FALSE(cancelled);
}

TEST_F(WatchCommandTest, Refusal) {
  service_.watch_build = [](const auto&, auto&, auto&) {
    return Refusal(grpc::StatusCode::NOT_FOUND, "no such build",
                   "BUILD_NOT_FOUND", "name", "no such build");
  };
  const ProgramResult result = Run({"7"});
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err,
            "container-builder: no such build\n"
            "container-builder: reason: BUILD_NOT_FOUND\n");
}

TEST_F(WatchCommandTest, NobodyListens) {
  const ProgramResult result = RunProgram(Watch("unix:/nowhere", {"7"}));
  EXPECT_EQ(result.exit_code, 78);
  EXPECT_THAT(result.err, HasSubstr("no service answers at unix:/nowhere"));
}

TEST_F(WatchCommandTest, WrongUsage) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"a", "b"},
                                             {""},
                                             {"builds/"},
                                             {"7", "--after=-1"},
                                             {"7", "--after=x"},
                                             {"7", "--format=table"},
                                             {"7", "--tag=a"},
                                             {"7", "--no-follow=maybe"}}) {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const ProgramResult result = Run(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, EndsWith("see: container-builder watch --help\n"));
  }
}

}  // namespace
}  // namespace containerbuilder
