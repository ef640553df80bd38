#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "cli/program.h"
#include "support/temp_dir.h"
#include "unit/client/fake_service.h"

namespace containerbuilder {
namespace {

using test_support::FakeService;
using test_support::Invocation;
using test_support::ProgramResult;
using test_support::RunProgram;
using test_support::TempDir;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kClient[] =
    "client      OK  container-builder " CONTAINERBUILDER_VERSION "\n";

Invocation Doctor(const std::string& address,
                  std::vector<std::string> flags = {}) {
  flags.insert(flags.begin(), {"--address=" + address, "doctor"});
  return {.program = CONTAINER_BUILDER, .arguments = std::move(flags)};
}

// A listening socket that nobody accepts from; its port is chosen.
class DeafListener {
 public:
  DeafListener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    socklen_t size = sizeof(address);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~DeafListener() { ::close(fd_); }
  const std::string& address() const { return address_; }

 private:
  const int fd_;
  std::string address_;
};

void AddCheck(v1::HealthResponse& response, const std::string& name,
              v1::HealthCheck::State state, const std::string& message,
              const std::string& hint) {
  v1::HealthCheck* check = response.add_checks();
  check->set_name(name);
  check->set_state(state);
  check->set_message(message);
  check->set_hint(hint);
}

TEST(DoctorCommandTest, TellsOfTheWayThereAndOfTheService) {
  FakeService service;
  service.health = [](v1::HealthResponse& response) {
    response.set_state(v1::HealthResponse::STATE_UNHEALTHY);
    AddCheck(response, "nerdctl", v1::HealthCheck::STATE_FAILED, "not found",
             "Install it");
    return grpc::Status::OK;
  };
  ProgramResult result = RunProgram(Doctor(service.address()));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out,
            "client      OK      container-builder " CONTAINERBUILDER_VERSION
            "\n"
            "connection  OK      " +
                service.address() +
                ", in the clear\n"
                "trust       OK      you may name paths of the service's "
                "machine\n"
                "nerdctl     FAILED  not found\n"
                "                    Install it\n"
                "UNHEALTHY\n");
  EXPECT_THAT(result.err, IsEmpty());

  service.health = [](v1::HealthResponse& response) {
    response.set_state(v1::HealthResponse::STATE_HEALTHY);
    return grpc::Status::OK;
  };
  service.construct_args = [](const v1::ConstructArgsRequest& request,
                              v1::ConstructArgsResponse& response) {
    response.add_args("--build-arg");
    response.add_args(request.options().build_arg().text());
    return grpc::Status::OK;
  };
  result = RunProgram(Doctor(service.address()));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("contexts are uploaded\nHEALTHY\n"));

  result = RunProgram(Doctor(service.address(), {"--format=json"}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out,
              StartsWith(R"({"state":"STATE_HEALTHY","checks":[{"name":)"
                         R"("client","state":"STATE_OK")"));
  EXPECT_EQ(std::ranges::count(result.out, '\n'), 1);
}

TEST(DoctorCommandTest, SaysWhatIsWrongWithASocket) {
  const TempDir folder;
  const auto told = [](const std::string& path) {
    const ProgramResult result = RunProgram(Doctor("unix://" + path));
    EXPECT_EQ(result.exit_code, 78);
    EXPECT_THAT(result.err, IsEmpty());
    EXPECT_THAT(result.out, StartsWith("client      OK"));
    return result.out;
  };
  const std::string none = folder.Path("none.sock");
  EXPECT_THAT(told(none),
              AllOf(HasSubstr("\nconnection  FAILED  there is no socket " +
                              none + "\n"),
                    HasSubstr("container-builderd --listen=unix://" + none),
                    HasSubstr("\nUNHEALTHY\n")));

  folder.WriteFile("file", "");
  EXPECT_THAT(told(folder.Path("file")), HasSubstr("file is no socket\n"));

  const std::string dead = folder.Path("dead.sock");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::ranges::copy(dead, address.sun_path);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)),
            0);
  ::close(fd);
  EXPECT_THAT(told(dead), HasSubstr("the service has stopped\n"));
}

TEST(DoctorCommandTest, SaysWhatIsWrongWithAHost) {
  const DeafListener listener;
  ProgramResult result = RunProgram(Doctor(listener.address()));
  EXPECT_EQ(result.exit_code, 78);
  EXPECT_THAT(result.out, HasSubstr("nobody listens at " + listener.address()));

  result = RunProgram(Doctor("no-such-host.invalid:1"));
  EXPECT_EQ(result.exit_code, 78);
  EXPECT_THAT(result.out, HasSubstr("the host of no-such-host.invalid:1 cannot "
                                    "be found"));
}

TEST(DoctorCommandTest, SaysWhatTheServiceHasAgainstTheCaller) {
  FakeService service;
  const auto told = [&](grpc::StatusCode code, const std::string& token = "") {
    service.health = [code](v1::HealthResponse&) {
      return grpc::Status(code, "no");
    };
    Invocation invocation = Doctor(service.address());
    if (!token.empty()) {
      invocation.environment["CONTAINER_BUILDER_TOKEN"] = token;
    }
    const ProgramResult result = RunProgram(invocation);
    EXPECT_EQ(result.exit_code, 64 + code);
    EXPECT_THAT(result.out, Not(HasSubstr("trust")));
    return result.out;
  };
  EXPECT_THAT(told(grpc::StatusCode::UNAUTHENTICATED),
              HasSubstr("Give your token by --token-file=FILE"));
  EXPECT_THAT(told(grpc::StatusCode::UNAUTHENTICATED, "mine"),
              AllOf(HasSubstr("does not know your token"),
                    HasSubstr("--callers_file"), Not(HasSubstr("mine"))));
  EXPECT_THAT(told(grpc::StatusCode::PERMISSION_DENIED),
              HasSubstr("another role"));
  EXPECT_THAT(told(grpc::StatusCode::UNIMPLEMENTED),
              HasSubstr("is no ContainerBuilder service"));
  EXPECT_THAT(told(grpc::StatusCode::RESOURCE_EXHAUSTED),
              HasSubstr("the service is busy: no"));
  EXPECT_THAT(told(grpc::StatusCode::INTERNAL), HasSubstr("FAILED  no\n"));
}

TEST(DoctorCommandTest, ColoursAreForTerminalsThatWantThem) {
  FakeService service;
  service.health = [](v1::HealthResponse& response) {
    response.set_state(v1::HealthResponse::STATE_HEALTHY);
    return grpc::Status::OK;
  };
  const auto out_of = [&](std::map<std::string, std::string> environment,
                          bool terminal) {
    environment.emplace("TERM", "xterm");
    environment.emplace("NO_COLOR", "");
    environment.emplace("CLICOLOR_FORCE", "");
    Invocation invocation = Doctor(service.address());
    if (terminal) {
      const std::string command = CONTAINER_BUILDER " " +
                                  invocation.arguments[0] + " " +
                                  invocation.arguments[1];
      invocation.program = "/usr/bin/script";
      invocation.arguments = {"-qec", command, "/dev/null"};
    }
    invocation.environment = std::move(environment);
    return RunProgram(invocation).out;
  };
  const auto coloured = HasSubstr("\x1b[32mOK\x1b[0m");
  EXPECT_THAT(out_of({}, true), coloured);
  EXPECT_THAT(out_of({}, false), StartsWith(kClient));
  EXPECT_THAT(out_of({{"NO_COLOR", "1"}}, true), Not(HasSubstr("\x1b")));
  EXPECT_THAT(out_of({{"TERM", "dumb"}}, true), Not(HasSubstr("\x1b")));
  EXPECT_THAT(out_of({{"CLICOLOR_FORCE", "1"}}, false), coloured);
  EXPECT_THAT(out_of({{"CLICOLOR_FORCE", "0"}}, false), Not(coloured));
}

}  // namespace
}  // namespace containerbuilder
