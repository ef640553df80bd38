#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <future>
#include <iterator>
#include <semaphore>
#include <string>
#include <vector>

#include "cli/program.h"
#include "support/temp_dir.h"
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
using test_support::TempDir;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

constexpr auto kStdout = v1::BuildOutput::STREAM_STDOUT;
constexpr auto kStderr = v1::BuildOutput::STREAM_STDERR;

class BuildCommandTest : public testing::Test {
 protected:
  Invocation Build(const std::vector<std::string>& arguments = {"."}) const {
    Invocation invocation{.program = CONTAINER_BUILDER,
                          .arguments = {"build"},
                          .folder = folder_.path()};
    invocation.arguments.insert(invocation.arguments.end(), arguments.begin(),
                                arguments.end());
    invocation.environment["CONTAINER_BUILDER_ADDRESS"] = service_.address();
    return invocation;
  }

  // The service answers with these events.
  void Answer(const std::vector<v1::BuildEvent>& events) {
    service_.build = [events](const auto&, auto&, BuildWriter& writer) {
      for (const v1::BuildEvent& event : events) Send(writer, event);
      return grpc::Status::OK;
    };
  }

  // The service sends these bytes to standard output until the build is
  // cancelled.
  void AnswerForever(const std::string& bytes) {
    cancelled_ = false;
    service_.build = [this, bytes](const auto&, auto&, BuildWriter& writer) {
      while (!cancelled_ && Send(writer, OutputEvent(kStdout, bytes))) {
      }
      Send(writer, FinishedEvent(v1::Build::STATE_CANCELLED));
      return grpc::Status::OK;
    };
    service_.cancel_build = [this](const v1::CancelBuildRequest& request, auto&,
                                   auto&) {
      EXPECT_EQ(request.name(), "builds/1");
      cancelled_ = true;
      cancel_called_.release();
      return grpc::Status::OK;
    };
  }

  // Keeps what is asked for, and answers that it was built.
  void Receive(v1::BuildRequest& request) {
    service_.build = [&request](const v1::BuildRequest& sent, auto&,
                                BuildWriter& writer) {
      request = sent;
      Send(writer, FinishedEvent(v1::Build::STATE_SUCCEEDED));
      return grpc::Status::OK;
    };
  }

  TempDir folder_;
  FakeService service_;
  std::atomic<bool> cancelled_ = false;
  std::counting_semaphore<> cancel_called_{0};
};

TEST_F(BuildCommandTest, PrintsBothStreamsByteForByte) {
  std::string all_bytes;
  for (int i = 0; i < 256; ++i) all_bytes.push_back(static_cast<char>(i));
  const std::string large(256 * 1024, '\0');
  v1::BuildEvent started;
  started.mutable_started()->set_pid(1);
  v1::BuildEvent queued;
  queued.mutable_queued();
  v1::BuildEvent heartbeat;
  heartbeat.mutable_heartbeat();
  v1::BuildEvent step;
  step.mutable_step()->set_name("RUN make");
  Answer({queued, started, OutputEvent(kStdout, all_bytes), heartbeat,
          OutputEvent(kStderr, "warn\r"), OutputEvent(kStdout, large), step,
          OutputEvent(kStderr, all_bytes), v1::BuildEvent(),
          FinishedEvent(v1::Build::STATE_SUCCEEDED)});

  const ProgramResult result = RunProgram(Build());
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(result.out == all_bytes + large);
  EXPECT_TRUE(result.err == "warn\r" + all_bytes);
}

TEST_F(BuildCommandTest, PrintsAtOnce) {
  std::promise<void> seen;
  service_.build = [&](const auto&, auto&, BuildWriter& writer) {
    Send(writer, OutputEvent(kStdout, "no newline"));
    seen.get_future().wait();
    Send(writer, FinishedEvent(v1::Build::STATE_SUCCEEDED));
    return grpc::Status::OK;
  };
  Program program(Build());
  program.WaitForOut("no newline");
  seen.set_value();
  EXPECT_EQ(program.Wait(), 0);
}

TEST_F(BuildCommandTest, SendsWhatTheFlagsSayAndLooksAtNoFiles) {
  // Things in the caller's folder that are named like values.
  folder_.MakeDir("app:dev");
  folder_.MakeDir("final");
  folder_.MakeDir("linux/amd64");
  folder_.WriteFile("A=1", "");
  folder_.WriteFile("plain", "");
  v1::BuildRequest request;
  service_.build = [&](const v1::BuildRequest& sent, auto&,
                       BuildWriter& writer) {
    request = sent;
    Send(writer, FinishedEvent(v1::Build::STATE_SUCCEEDED));
    return grpc::Status::OK;
  };

  Invocation invocation =
      Build({"-qf", "docker/Dockerfile", "-t", "app:dev", "--build-arg=A=1",
             "--build-arg", "NAME", "--platform", "linux/amd64", "--target",
             "final", "--progress=plain", "--secret", "id=s,src=key",
             "--no-cache=false", ".", "-tapp:2"});
  invocation.environment["NAME"] = "value";
  const ProgramResult result = RunProgram(invocation);
  EXPECT_EQ(result.exit_code, 0) << result.err;

  const std::string here = folder_.path();
  v1::BuildRequest expected;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(spec { options {
           context_path: ")" +
          here + R"("
           build_arg { values { values: "A=1" values: "NAME=value" } }
           secret { values { values: "id=s,src=)" +
          here + R"(/key" } }
           options { name: "quiet" value { flag: true } }
           options { name: "file" value { values {
             values: ")" +
          here + R"(/docker/Dockerfile" } } }
           options { name: "tag" value { values {
             values: "app:dev" values: "app:2" } } }
           options { name: "platform" value { values {
             values: "linux/amd64" } } }
           options { name: "target" value { values { values: "final" } } }
           options { name: "progress" value { values { values: "plain" } } }
           options { name: "no-cache" value { flag: false } }
         } }
         policy {
           disconnect_policy: DISCONNECT_POLICY_LINGER
           linger { seconds: 60 }
         })",
      &expected));
  EXPECT_THAT(request.request_id(), SizeIs(36));
  request.clear_request_id();
  std::string difference;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&difference);
  EXPECT_TRUE(differencer.Compare(expected, request)) << difference;
}

TEST_F(BuildCommandTest, ExitCodeTellsHowTheBuildEnded) {
  struct Case {
    std::string build;  // as text
    int exit_code;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"state: STATE_SUCCEEDED", 0, ""},
      {"state: STATE_FAILED exit_code: 1 failure { reason: 'STEP_FAILED' "
       "message: 'RUN failed' }",
       1, ""},
      {"state: STATE_FAILED exit_code: 37 failure { reason: 'UNKNOWN' "
       "message: 'm' }",
       37, ""},
      {"state: STATE_FAILED term_signal: 9 failure { reason: 'KILLED' "
       "message: 'killed' }",
       137, "killed"},
      {"state: STATE_FAILED failure { reason: 'SPAWN_FAILED' message: 'm' }", 1,
       "m"},
      {"state: STATE_FAILED term_signal: 15 failure { reason: 'LOG_LIMIT' "
       "message: 'm' }",
       72, "m"},
      {"state: STATE_FAILED failure { reason: 'NO_SPACE' message: 'm' }", 72,
       "m"},
      {"state: STATE_CANCELLED failure { message: 'm' }", 65, "m"},
      {"state: STATE_TIMED_OUT failure { message: 'm' }", 68, "m"},
      {"state: STATE_EXPIRED failure { message: 'm' }", 68, "m"},
      {"state: STATE_INTERRUPTED failure { message: 'm' retryable: true }", 78,
       "m"},
  };
  for (const Case& expected : cases) {
    SCOPED_TRACE(expected.build);
    v1::Build build;
    ASSERT_TRUE(
        google::protobuf::TextFormat::ParseFromString(expected.build, &build));
    Answer({OutputEvent(kStdout, "out"), OutputEvent(kStderr, "err\n"),
            FinishedEvent(build)});
    const ProgramResult result = RunProgram(Build());
    EXPECT_EQ(result.exit_code, expected.exit_code);
    EXPECT_EQ(result.out, "out");
    EXPECT_EQ(
        result.err,
        "err\n" + (expected.message.empty()
                       ? ""
                       : "container-builder: " + expected.message + "\n"));
  }
}

TEST_F(BuildCommandTest, RefusalSaysAllThatTheServiceSaid) {
  service_.build = [](const auto&, auto&, auto&) {
    return Refusal(grpc::StatusCode::INVALID_ARGUMENT, "no such context",
                   "CONTEXT_NOT_FOUND", "spec.options.context_path",
                   "name a folder that exists");
  };
  const ProgramResult result = RunProgram(Build());
  EXPECT_EQ(result.exit_code, 67);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err,
            "container-builder: no such context\n"
            "container-builder: spec.options.context_path: name a folder that "
            "exists\n"
            "container-builder: reason: CONTEXT_NOT_FOUND\n");
}

TEST_F(BuildCommandTest, RefusalSaysNothingTwice) {
  service_.build = [](const auto&, auto&, auto&) {
    return Refusal(grpc::StatusCode::INVALID_ARGUMENT, "spec: too odd",
                   "OPTION_INVALID", "spec", "too odd");
  };
  EXPECT_EQ(RunProgram(Build()).err,
            "container-builder: spec: too odd\n"
            "container-builder: reason: OPTION_INVALID\n");
}

TEST_F(BuildCommandTest, ServicesFlags) {
  v1::BuildRequest request;
  service_.build = [&](const v1::BuildRequest& sent, auto&,
                       BuildWriter& writer) {
    request = sent;
    Send(writer, FinishedEvent(v1::Build::STATE_SUCCEEDED));
    return grpc::Status::OK;
  };
  const ProgramResult result = RunProgram(
      Build({"--build-annotation", "team=web", "--build-annotation=a=b=c",
             "--priority=-3", "--timeout", "1h30m", "--queue-ttl=90s",
             "--linger=2m", "--request-id", "mine", ".", "-t", "a"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(request.request_id(), "mine");
  EXPECT_THAT(request.annotations(),
              UnorderedElementsAre(Pair("team", "web"), Pair("a", "b=c")));
  EXPECT_EQ(request.policy().priority(), -3);
  EXPECT_EQ(request.policy().timeout().seconds(), 5400);
  EXPECT_EQ(request.policy().queue_ttl().seconds(), 90);
  EXPECT_EQ(request.policy().linger().seconds(), 120);
  EXPECT_EQ(request.policy().disconnect_policy(), v1::DISCONNECT_POLICY_LINGER);
  // None of them is nerdctl's.
  ASSERT_EQ(request.spec().options().options_size(), 1);
  EXPECT_EQ(request.spec().options().options(0).name(), "tag");
}

TEST_F(BuildCommandTest, DetachPrintsTheName) {
  v1::CreateBuildRequest request;
  service_.create_build = [&](const v1::CreateBuildRequest& sent,
                              v1::CreateBuildResponse& response) {
    request = sent;
    response.mutable_build()->set_name("builds/7");
    response.mutable_build()->set_state(v1::Build::STATE_QUEUED);
    return grpc::Status::OK;
  };
  ProgramResult result = RunProgram(
      Build({"--detach", "--build-annotation=a=b", "--timeout=1s", "."}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "builds/7\n");
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_EQ(request.spec().options().context_path(), folder_.path());
  EXPECT_EQ(request.policy().disconnect_policy(),
            v1::DISCONNECT_POLICY_UNSPECIFIED);
  EXPECT_EQ(request.policy().timeout().seconds(), 1);
  EXPECT_THAT(request.annotations(), UnorderedElementsAre(Pair("a", "b")));

  result = RunProgram(Build({"--detach", "--format=json", "."}));
  EXPECT_EQ(result.out, R"({"name":"builds/7","state":"STATE_QUEUED"})"
                        "\n");

  service_.create_build = [](const auto&, auto&) {
    return Refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "full", "QUEUE_FULL",
                   "f", "d");
  };
  result = RunProgram(Build({"--detach", "."}));
  EXPECT_EQ(result.exit_code, 72);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("QUEUE_FULL"));
}

TEST_F(BuildCommandTest, FormatJsonIsAnEventPerLine) {
  v1::BuildEvent queued;
  queued.mutable_queued()->set_position(2);
  v1::BuildEvent heartbeat;
  heartbeat.mutable_heartbeat();
  v1::Build build;
  build.set_state(v1::Build::STATE_FAILED);
  build.set_exit_code(3);
  Answer(
      {queued, heartbeat, OutputEvent(kStderr, "a\n"), FinishedEvent(build)});
  const ProgramResult result = RunProgram(Build({"--format=json", "."}));
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.out,
            R"({"name":"builds/1","sequence":"1","queued":{"position":2}})"
            "\n"
            R"({"name":"builds/1","sequence":"2","output":{)"
            R"("stream":"STREAM_STDERR","data":"YQo="}})"
            "\n"
            R"({"name":"builds/1","sequence":"3","finished":{"build":{)"
            R"("state":"STATE_FAILED","exitCode":3}}})"
            "\n");
  EXPECT_THAT(result.err, IsEmpty());
}

TEST_F(BuildCommandTest, QueuePositionsAreForTerminalsOnly) {
  v1::BuildEvent queued;
  queued.mutable_queued()->set_position(2);
  v1::BuildEvent started;
  started.mutable_started();
  Answer({queued, started, OutputEvent(kStdout, "out\n"),
          FinishedEvent(v1::Build::STATE_SUCCEEDED)});
  ProgramResult result = RunProgram(Build());
  EXPECT_EQ(result.out, "out\n");
  EXPECT_THAT(result.err, IsEmpty());

  Invocation invocation = Build();
  invocation.program = "/usr/bin/script";
  invocation.arguments = {"-qec", CONTAINER_BUILDER " build .", "/dev/null"};
  result = RunProgram(invocation);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out,
            "\rcontainer-builder: queued, position 2\x1b[K\r\x1b[Kout\r\n");
}

TEST_F(BuildCommandTest, RefusalsExitWith64AndTheirCode) {
  for (int code = 1; code <= 16; ++code) {
    service_.build = [code](const auto&, auto&, auto&) {
      return Refusal(static_cast<grpc::StatusCode>(code), "no", "REASON", "f",
                     "d");
    };
    EXPECT_EQ(RunProgram(Build()).exit_code, 64 + code);
  }
}

// A build that is joined again wherever it is cut.
TEST_F(BuildCommandTest, ALostConnectionIsInvisible) {
  const auto send_after = [](BuildWriter& writer, std::int64_t sequence) {
    for (auto i = sequence; i < 26; ++i) {
      Send(writer, OutputEvent(i % 2 == 0 ? kStdout : kStderr,
                               std::string(1000, static_cast<char>('a' + i))));
    }
    Send(writer, FinishedEvent(v1::Build::STATE_SUCCEEDED));
    return grpc::Status::OK;
  };
  service_.build = [&](const auto&, auto&, BuildWriter& writer) {
    return send_after(writer, 0);
  };
  service_.watch_build = [&](const v1::WatchBuildRequest& request, auto&,
                             BuildWriter& writer) {
    return send_after(writer, request.after_sequence());
  };
  const ProgramResult whole = RunProgram(Build());
  EXPECT_THAT(whole.out, SizeIs(13'000));
  EXPECT_THAT(whole.err, SizeIs(13'000));

  const CuttingProxy proxy(service_.socket_path(), {100, 5000, 2500, 0, 9999});
  Invocation invocation = Build();
  invocation.environment["CONTAINER_BUILDER_ADDRESS"] = proxy.address();
  const ProgramResult cut = RunProgram(invocation);
  EXPECT_EQ(cut.exit_code, 0);
  EXPECT_TRUE(cut.out == whole.out);
  EXPECT_TRUE(cut.err == whole.err);
  EXPECT_GE(proxy.connections(), 6);
}

TEST_F(BuildCommandTest, ServiceThatIsGoneForGood) {
  service_.build = [](const auto&, auto&, BuildWriter& writer) {
    Send(writer, OutputEvent(kStdout, "begun"));
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "going down");
  };
  service_.watch_build = [](const auto&, auto&, auto&) {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "still down");
  };
  const ProgramResult result = RunProgram(Build({"--linger=3s", "."}));
  EXPECT_EQ(result.exit_code, 78);
  EXPECT_EQ(result.out, "begun");
  EXPECT_EQ(result.err,
            "container-builder: lost the build: still down\n"
            "container-builder: to join it again: container-builder watch "
            "builds/1 --after 1\n");
}

TEST_F(BuildCommandTest, BuildThatIsGoneWhenItIsJoinedAgain) {
  Answer({OutputEvent(kStdout, "begun")});
  service_.watch_build = [](const auto&, auto&, auto&) {
    return Refusal(grpc::StatusCode::NOT_FOUND, "no such build",
                   "BUILD_NOT_FOUND", "name", "d");
  };
  const ProgramResult result = RunProgram(Build());
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_EQ(result.out, "begun");
  EXPECT_THAT(result.err,
              StartsWith("container-builder: lost the build: no such build\n"));
}

TEST_F(BuildCommandTest, NobodyListens) {
  Invocation invocation = Build();
  invocation.environment["CONTAINER_BUILDER_ADDRESS"] =
      "unix://" + folder_.Path("none.sock");
  const ProgramResult result = RunProgram(invocation);
  EXPECT_EQ(result.exit_code, 78);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("no service answers at unix://" +
                                    folder_.Path("none.sock")));
  EXPECT_THAT(result.err, HasSubstr("container-builderd --listen="));
}

TEST_F(BuildCommandTest, AddressFlagOutweighsTheEnvironment) {
  Answer({FinishedEvent(v1::Build::STATE_SUCCEEDED)});
  for (const std::vector<std::string>& address :
       {std::vector<std::string>{"--address=" + service_.address()},
        std::vector<std::string>{"--address",
                                 "unix:" + service_.socket_path()}}) {
    Invocation invocation = Build();
    invocation.environment["CONTAINER_BUILDER_ADDRESS"] = "unix:/nowhere";
    invocation.arguments.insert(invocation.arguments.begin(), address.begin(),
                                address.end());
    EXPECT_EQ(RunProgram(invocation).exit_code, 0);
  }
}

TEST_F(BuildCommandTest, InterruptCancelsTheBuild) {
  for (const int signal : {SIGINT, SIGTERM}) {
    AnswerForever("ready ");
    Program program(Build());
    program.WaitForOut("ready");
    program.Signal(signal);
    EXPECT_EQ(program.Wait(), 128 + signal);
    EXPECT_EQ(program.err(),
              "container-builder: cancelling; press Ctrl-C again to leave at "
              "once\n");
    EXPECT_TRUE(cancelled_);
  }
}

TEST_F(BuildCommandTest, CancelThatIsRefusedIsTold) {
  AnswerForever("ready ");
  service_.cancel_build = [](const auto&, auto&, auto&) {
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "not yours");
  };
  Program program(Build());
  program.WaitForOut("ready");
  program.Signal(SIGINT);
  EXPECT_EQ(program.Wait(), 130);
  EXPECT_THAT(program.err(), HasSubstr("container-builder: the build may go "
                                       "on: not yours\n"));
}

TEST_F(BuildCommandTest, SecondInterruptLeavesAtOnce) {
  for (const int signal : {SIGINT, SIGTERM}) {
    // More than a pipe holds, so that it is stuck in this when the rest is
    // not read.
    AnswerForever(std::string(256 * 1024, 'x'));
    Program program(Build());
    program.WaitForOut("x");
    program.Signal(SIGINT);
    program.WaitForErr("again");
    cancel_called_.acquire();
    program.Signal(signal);
    EXPECT_EQ(program.WaitUnread(), 128 + signal);
    EXPECT_TRUE(cancelled_);
  }
}

TEST_F(BuildCommandTest, IgnoredInterruptStaysIgnored) {
  std::promise<void> interrupted;
  service_.build = [&](const auto&, auto&, BuildWriter& writer) {
    Send(writer, OutputEvent(kStdout, "ready"));
    interrupted.get_future().wait();
    Send(writer, FinishedEvent(v1::Build::STATE_SUCCEEDED));
    return grpc::Status::OK;
  };
  Invocation invocation = Build();
  invocation.ignore_sigint = true;
  Program program(invocation);
  program.WaitForOut("ready");
  program.Signal(SIGINT);
  interrupted.set_value();
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_THAT(program.err(), IsEmpty());
}

TEST_F(BuildCommandTest, ClosedOutputCancelsTheBuild) {
  AnswerForever("ready ");
  Program program(Build());
  program.WaitForOut("ready");
  program.CloseOut();
  EXPECT_EQ(program.Wait(), 128 + SIGPIPE);
  EXPECT_THAT(program.err(), IsEmpty());
  EXPECT_TRUE(cancelled_);
}

TEST_F(BuildCommandTest, OutputThatCannotBeWrittenCancelsTheBuild) {
  AnswerForever("ready ");
  Invocation invocation = Build();
  invocation.program = "/bin/sh";
  invocation.arguments = {"-c", CONTAINER_BUILDER " build . >/dev/full"};
  const ProgramResult result = RunProgram(invocation);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err,
            "container-builder: cannot write the output: No space left on "
            "device\n");
  EXPECT_TRUE(cancelled_);
}

TEST_F(BuildCommandTest, OutputThatIsClosedCancelsTheBuild) {
  AnswerForever("ready ");
  Invocation invocation = Build();
  invocation.program = "/bin/sh";
  invocation.arguments = {"-c", CONTAINER_BUILDER " build . <&- >&-"};
  const ProgramResult result = RunProgram(invocation);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err,
            "container-builder: cannot write the output: Bad file "
            "descriptor\n");
  EXPECT_TRUE(cancelled_);
}

TEST_F(BuildCommandTest, UsesTheContextInPlaceWhereTheServiceSeesIt) {
  v1::BuildRequest request;
  Receive(request);
  folder_.WriteFile("Dockerfile", "FROM scratch\n");
  EXPECT_EQ(RunProgram(Build()).exit_code, 0);
  EXPECT_EQ(request.spec().options().context_path(), folder_.path());
  EXPECT_THAT(request.spec().context_digest(), IsEmpty());
  // What proved it is gone.
  EXPECT_EQ(
      std::distance(std::filesystem::directory_iterator(folder_.path()), {}),
      1);
}

TEST_F(BuildCommandTest, UploadsTheContextWhereTheServiceDoesNotSeeIt) {
  v1::BuildRequest request;
  Receive(request);
  folder_.WriteFile("Dockerfile", "FROM scratch\n");
  // It sees other folders, none, or says that all are there.
  for (const bool sees_all : {false, true}) {
    service_.construct_args = [sees_all](const v1::ConstructArgsRequest& asked,
                                         v1::ConstructArgsResponse& answer) {
      const auto& options = asked.options();
      for (const auto& text :
           {options.build_arg().text(), options.label().text()}) {
        answer.add_args("--flag");
        answer.add_args(sees_all ? "/normalised" : text);
      }
      answer.add_args(".");
      return grpc::Status::OK;
    };
    EXPECT_EQ(RunProgram(Build()).exit_code, 0);
    EXPECT_THAT(request.spec().context_digest(), StartsWith("sha256:"));
    EXPECT_THAT(request.spec().options().context_path(), IsEmpty());
  }
}

TEST_F(BuildCommandTest, AnUploadTakesAlongWhatItNeedsByValue) {
  v1::BuildRequest request;
  Receive(request);
  folder_.WriteFile("Dockerfile", "FROM a.test/base\n");
  folder_.WriteFile("secret", "from a file");
  folder_.WriteFile("docker/config.json",
                    R"({"auths":{"a.test":{"auth":"bWU6cGFzcw=="},
                                 "b.test":{"auth":"bWU6cGFzcw=="}}})");
  Invocation invocation =
      Build({"--context-mode=upload", "--secret=id=s,src=secret",
             "--secret=id=e,env=VALUE", "--build-arg=VALUE", "-t", "app", "."});
  invocation.environment["VALUE"] = "from a variable";
  invocation.environment["SOURCE_DATE_EPOCH"] = "1";
  invocation.environment["DOCKER_CONFIG"] = folder_.Path("docker");
  EXPECT_EQ(RunProgram(invocation).exit_code, 0);
  const v1::BuildSpec& spec = request.spec();
  EXPECT_EQ(spec.dockerfile(), "FROM a.test/base\n");
  EXPECT_TRUE(spec.has_dockerignore());
  EXPECT_THAT(spec.dockerignore(), IsEmpty());
  ASSERT_EQ(spec.secrets_size(), 2);
  EXPECT_EQ(spec.secrets(0).value(), "from a file");
  EXPECT_EQ(spec.secrets(1).value(), "from a variable");
  EXPECT_FALSE(spec.options().has_secret());
  EXPECT_EQ(spec.options().build_arg().values().values(0),
            "VALUE=from a variable");
  ASSERT_EQ(spec.registry_auths_size(), 1);
  EXPECT_EQ(spec.registry_auths(0).host(), "a.test");
  EXPECT_EQ(spec.registry_auths(0).password(), "pass");
  EXPECT_THAT(spec.environment(),
              UnorderedElementsAre(Pair("SOURCE_DATE_EPOCH", "1")));
}

TEST_F(BuildCommandTest, WithoutAPlaceForLoginsItBuildsWithoutThem) {
  int calls = 0;
  const auto admit = [&calls](const v1::BuildSpec& spec) {
    ++calls;
    return spec.registry_auths().empty() && spec.secrets().empty()
               ? grpc::Status::OK
               : Refusal(grpc::StatusCode::FAILED_PRECONDITION,
                         "there is no place", "SECRETS_UNAVAILABLE", "f", "d");
  };
  service_.build = [&admit](const v1::BuildRequest& request, auto&,
                            BuildWriter& writer) {
    const grpc::Status admitted = admit(request.spec());
    if (admitted.ok()) {
      Send(writer, FinishedEvent(v1::Build::STATE_SUCCEEDED));
    }
    return admitted;
  };
  service_.create_build = [&admit](const v1::CreateBuildRequest& request,
                                   v1::CreateBuildResponse& response) {
    response.mutable_build()->set_name("builds/1");
    return admit(request.spec());
  };
  folder_.WriteFile("Dockerfile", "FROM a.test/base\n");
  folder_.WriteFile("secret", "hush");
  folder_.WriteFile("docker/config.json",
                    R"({"auths":{"a.test":{"auth":"bWU6cGFzcw=="}}})");
  const auto run = [this](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "--context-mode=upload");
    arguments.push_back(".");
    Invocation invocation = Build(arguments);
    invocation.environment["DOCKER_CONFIG"] = folder_.Path("docker");
    return RunProgram(invocation);
  };
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>(), {"--detach"}}) {
    calls = 0;
    const ProgramResult result = run(flags);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.err,
              "container-builder: warning: building without the login to "
              "a.test: there is no place\n");
    EXPECT_EQ(calls, 2);
  }
  // What was asked for is not left out.
  calls = 0;
  const ProgramResult result = run({"--secret=id=s,src=secret"});
  EXPECT_EQ(result.exit_code, 73);
  EXPECT_THAT(result.err, StartsWith("container-builder: there is no place\n"));
  EXPECT_EQ(calls, 1);
}

TEST_F(BuildCommandTest, WhatCannotBeUploadedIsWrongUsage) {
  folder_.WriteFile("Dockerfile", "FROM scratch\n");
  // It sees other folders.
  std::atomic<bool> asked = false;
  service_.construct_args = [&](const v1::ConstructArgsRequest& request,
                                v1::ConstructArgsResponse& answer) {
    asked = true;
    const auto& options = request.options();
    for (const auto& text :
         {options.build_arg().text(), options.label().text()}) {
      answer.add_args("--flag");
      answer.add_args(text);
    }
    answer.add_args(".");
    return grpc::Status::OK;
  };
  std::atomic<bool> sent = false;
  service_.find_missing_blobs = [&](const auto&, auto&) {
    sent = true;
    return grpc::Status::OK;
  };
  const struct {
    std::vector<std::string> flags;
    std::string message;
  } cases[] = {
      {{"--ssh=default"}, "does not go with a context that is uploaded"},
      {{"--cache-from=type=local,src=x"}, "--cache-from does not go with"},
      {{"--cache-to=type=local,dest=x"}, "--cache-to does not go with"},
      {{"--build-context=n=x"}, "--build-context does not go with"},
      {{"--secret=src=x"}, "invalid --secret: secret missing ID"},
      {{"--secret=id=a,what=b"}, "invalid --secret: unexpected key"},
      {{"--secret=id=\"a"}, "invalid --secret: it has to be key=value"},
      {{"--detach", "--output=out"}, "not with --detach"},
      {{"--detach", "--iidfile=id"}, "not with --detach"},
  };
  for (const auto& expected : cases) {
    for (const char* mode : {"upload", "auto"}) {
      SCOPED_TRACE(testing::PrintToString(expected.flags) + mode);
      asked = false;
      std::vector<std::string> arguments = expected.flags;
      arguments.push_back(std::string("--context-mode=") + mode);
      arguments.push_back(".");
      const ProgramResult result = RunProgram(Build(arguments));
      EXPECT_EQ(result.exit_code, 2);
      EXPECT_THAT(result.out, IsEmpty());
      EXPECT_THAT(result.err, HasSubstr(expected.message));
      EXPECT_THAT(result.err,
                  EndsWith("see: container-builder build --help\n"));
      // Where it is sure that there is an upload, nobody is asked.
      EXPECT_EQ(asked, std::string(mode) == "auto");
    }
  }
  EXPECT_FALSE(sent);
}

// Files are no matter of usage: what is wrong with them is told as it is.
TEST_F(BuildCommandTest, FilesThatCannotBeReadAreNoWrongUsage) {
  folder_.WriteFile("Dockerfile", "FROM scratch\n");
  const ProgramResult result = RunProgram(
      Build({"--context-mode=upload", "--secret=id=a,src=none", "."}));
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_THAT(result.err, HasSubstr("cannot read the secret a"));
}

TEST_F(BuildCommandTest, ATerminalsProgressIsPlainWithOneWarning) {
  v1::BuildRequest request;
  Receive(request);
  const ProgramResult result = RunProgram(Build({"--progress=tty", "."}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, StartsWith("container-builder: warning: "));
  EXPECT_EQ(request.spec().options().options(0).value().values().values(0),
            "plain");
  EXPECT_EQ(std::ranges::count(result.err, '\n'), 1);
  EXPECT_EQ(RunProgram(Build({"--progress=quiet", "."})).err, "");
  EXPECT_EQ(request.spec().options().options(0).name(), "quiet");
  EXPECT_EQ(RunProgram(Build({"--progress=fancy", "."})).exit_code, 2);
  Invocation invocation = Build();
  invocation.environment["BUILDKIT_PROGRESS"] = "rawjson";
  EXPECT_EQ(RunProgram(invocation).exit_code, 0);
  EXPECT_EQ(request.spec().options().options(0).name(), "progress");
  EXPECT_EQ(request.spec().options().options(0).value().values().values(0),
            "rawjson");
}

TEST_F(BuildCommandTest, WrongUsageAsksTheServiceForNothing) {
  std::atomic<bool> asked = false;
  service_.build = [&](const auto&, auto&, auto&) {
    asked = true;
    return grpc::Status::OK;
  };
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"-t", "a"},
                                             {"a", "b"},
                                             {"--context-mode=path", "-"},
                                             {"--context-mode=far", "."},
                                             {"https://example.com/a.git"},
                                             {"--context-mode=path", "-"},
                                             {"--context-mode=far", "."},
                                             {"--nope", "."},
                                             {"-x", "."},
                                             {".", "--tag"},
                                             {"--priority=high", "."},
                                             {"--timeout=0s", "."},
                                             {"--queue-ttl=-1s", "."},
                                             {"--timeout=soon", "."},
                                             {"--linger=inf", "."},
                                             {"--detach", "--linger=1s", "."},
                                             {"--build-annotation=a", "."},
                                             {"--build-annotation==a", "."},
                                             {"--format=yaml", "."},
                                             {"--annotation=a=b", "."},
                                             {"--no-cache=maybe", "."},
                                             {"--address=x", "."}}) {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const ProgramResult result = RunProgram(Build(arguments));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, StartsWith("container-builder: "));
    EXPECT_THAT(result.err, EndsWith("see: container-builder build --help\n"));
  }
  EXPECT_FALSE(asked);
}

TEST_F(BuildCommandTest, Help) {
  for (const char* flag : {"--help", "-h", "-qh"}) {
    const ProgramResult result = RunProgram(Build({flag}));
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.out, StartsWith("Usage: container-builder"));
    EXPECT_THAT(result.out, HasSubstr("--cache-from list"));
    EXPECT_THAT(result.out, HasSubstr("--queue-ttl string"));
    EXPECT_THAT(result.err, IsEmpty());
  }
}

TEST_F(BuildCommandTest, HelpAsAValueIsNoHelp) {
  Answer({FinishedEvent(v1::Build::STATE_SUCCEEDED)});
  const ProgramResult result = RunProgram(Build({"--label", "--help", "."}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, Not(HasSubstr("Usage")));
}

}  // namespace
}  // namespace containerbuilder
