#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "cli/program.h"
#include "unit/client/fake_service.h"

namespace containerbuilder {
namespace {

using test_support::FakeService;
using test_support::Program;
using test_support::ProgramResult;
using test_support::RunProgram;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

ProgramResult Health(const FakeService& service) {
  return RunProgram(
      {.program = CONTAINER_BUILDER,
       .arguments = {"--address=" + service.address(), "health"}});
}

// Listens at a port that is chosen, and says nothing.
class Listener {
 public:
  Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    ::listen(fd_, 8);
    socklen_t size = sizeof(address);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~Listener() { ::close(fd_); }
  int fd() const { return fd_; }
  const std::string& address() const { return address_; }

 private:
  const int fd_;
  std::string address_;
};

void AddCheck(v1::HealthResponse& response, const std::string& name,
              v1::HealthCheck::State state, const std::string& message,
              const std::string& hint = "") {
  v1::HealthCheck* check = response.add_checks();
  check->set_name(name);
  check->set_state(state);
  check->set_message(message);
  check->set_hint(hint);
}

TEST(HealthCommandTest, PrintsATableAndTheVerdict) {
  FakeService service;
  service.health = [](v1::HealthResponse& response) {
    response.set_state(v1::HealthResponse::STATE_UNHEALTHY);
    AddCheck(response, "platform", v1::HealthCheck::STATE_OK, "Linux x86_64");
    AddCheck(response, "docker_buildkit", v1::HealthCheck::STATE_WARNING,
             "DOCKER_BUILDKIT is set");
    AddCheck(response, "nerdctl", v1::HealthCheck::STATE_FAILED,
             "not found on PATH", "Install nerdctl,\nor set --nerdctl.");
    AddCheck(response, "queue", v1::HealthCheck::STATE_SKIPPED, "");
    return grpc::Status::OK;
  };
  const ProgramResult result = Health(service);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out,
            "platform         OK       Linux x86_64\n"
            "docker_buildkit  WARNING  DOCKER_BUILDKIT is set\n"
            "nerdctl          FAILED   not found on PATH\n"
            "                          Install nerdctl,\n"
            "                          or set --nerdctl.\n"
            "queue            SKIPPED\n"
            "UNHEALTHY\n");
  EXPECT_THAT(result.err, IsEmpty());
}

TEST(HealthCommandTest, ExitCodeIsTheVerdict) {
  FakeService service;
  const auto exit_code_of = [&](v1::HealthResponse::State state) {
    service.health = [state](v1::HealthResponse& response) {
      response.set_state(state);
      return grpc::Status::OK;
    };
    return Health(service).exit_code;
  };
  EXPECT_EQ(exit_code_of(v1::HealthResponse::STATE_HEALTHY), 0);
  EXPECT_EQ(exit_code_of(v1::HealthResponse::STATE_DEGRADED), 0);
  EXPECT_EQ(exit_code_of(v1::HealthResponse::STATE_UNHEALTHY), 1);
}

TEST(HealthCommandTest, FormatJsonIsOneLine) {
  FakeService service;
  service.health = [](v1::HealthResponse& response) {
    response.set_state(v1::HealthResponse::STATE_UNHEALTHY);
    response.set_nerdctl_version("1.7.7");
    AddCheck(response, "nerdctl", v1::HealthCheck::STATE_OK, "there");
    return grpc::Status::OK;
  };
  const ProgramResult result =
      RunProgram({.program = CONTAINER_BUILDER,
                  .arguments = {"--address=" + service.address(), "health",
                                "--format=json"}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out,
            R"({"state":"STATE_UNHEALTHY","checks":[{"name":"nerdctl",)"
            R"("state":"STATE_OK","message":"there"}],)"
            R"("nerdctlVersion":"1.7.7"})"
            "\n");
}

TEST(HealthCommandTest, NoAnswer) {
  FakeService service;
  service.health = [](v1::HealthResponse&) {
    return grpc::Status(grpc::StatusCode::INTERNAL, "broken");
  };
  ProgramResult result = Health(service);
  EXPECT_EQ(result.exit_code, 77);
  EXPECT_EQ(result.err, "container-builder: broken\n");

  result = RunProgram({.program = CONTAINER_BUILDER,
                       .arguments = {"--address=unix:/nowhere", "health"}});
  EXPECT_EQ(result.exit_code, 78);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("no service answers at unix:/nowhere"));
}

// A proxy would be sent the token in the clear.
TEST(HealthCommandTest, GoesToLoopbackByNoProxy) {
  for (const char* variable : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    const Listener service;
    const Listener proxy;
    const Program program(
        {.program = CONTAINER_BUILDER,
         .arguments = {"--address=" + service.address(), "health"},
         .environment = {{"CONTAINER_BUILDER_TOKEN", "0123456789"},
                         {variable, "http://" + proxy.address()},
                         {"no_grpc_proxy", "nowhere.invalid"}}});
    pollfd called[] = {{service.fd(), POLLIN, 0}, {proxy.fd(), POLLIN, 0}};
    ASSERT_GT(::poll(called, 2, 60'000), 0) << variable;
    EXPECT_NE(called[0].revents, 0) << variable;
    EXPECT_EQ(called[1].revents, 0) << variable;
  }
}

TEST(HealthCommandTest, TakesNoArguments) {
  EXPECT_EQ(
      RunProgram({.program = CONTAINER_BUILDER, .arguments = {"health", "now"}})
          .exit_code,
      2);
  const ProgramResult help = RunProgram(
      {.program = CONTAINER_BUILDER, .arguments = {"health", "--help"}});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, StartsWith("Usage: container-builder"));
}

}  // namespace
}  // namespace containerbuilder
