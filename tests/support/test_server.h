#ifndef CONTAINERBUILDER_TESTS_SUPPORT_TEST_SERVER_H_
#define CONTAINERBUILDER_TESTS_SUPPORT_TEST_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/service/server.h"
#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::test_support {

// A real Server on a unix socket and on loopback TCP, over fake_nerdctl, with
// folders of its own.
class TestServer {
 public:
  using Change = std::function<void(service::ServerOptions&)>;

  explicit TestServer(const Change& change = nullptr) {
    service::ServerOptions options;
    options.listen = {"unix://" + folder_.Path("cb.sock"), "127.0.0.1:0"};
    options.state_dir = folder_.Path("state");
    options.nerdctl = FAKE_NERDCTL;
    if (change) change(options);
    absl::StatusOr<std::unique_ptr<service::Server>> server =
        service::Server::Create(std::move(options));
    EXPECT_THAT(server, IsOk());
    if (server.ok()) server_ = *std::move(server);
  }

  service::Server& server() { return *server_; }
  const TempDir& folder() const { return folder_; }
  const std::string& unix_address() const { return server_->addresses()[0]; }
  const std::string& tcp_address() const { return server_->addresses()[1]; }

  // A client that may name any path.
  client::Client LocalClient() const {
    client::ClientOptions options;
    options.address = unix_address();
    return client::Client(options);
  }

  // One that may not.
  client::Client TcpClient() const {
    client::ClientOptions options;
    options.address = tcp_address();
    return client::Client(options);
  }

  // A context of that name, in which fake_nerdctl does what `script` says, and
  // the request to build it.
  v1::BuildRequest Request(const std::string& name,
                           const std::string& script) const {
    folder_.WriteFile(name + "/fake.txt", script);
    v1::BuildRequest request;
    request.mutable_spec()->mutable_options()->set_context_path(
        folder_.Path(name));
    return request;
  }

 private:
  const TempDir folder_;
  std::unique_ptr<service::Server> server_;
};

// What a build told, from its first event to its last.
struct BuildLog {
  std::vector<v1::BuildEvent> events;
  std::string stdout_data;
  std::string stderr_data;
  // The element that ended the range with an error; OK where none did.
  absl::Status status;

  const v1::Build& build() const { return events.back().finished().build(); }
};

// Takes in an event and checks what holds for every stream: names, a dense
// sequence, offsets that fit.
inline void Collect(const v1::BuildEvent& event, BuildLog& log) {
  if (event.has_heartbeat()) {
    EXPECT_EQ(event.sequence(), 0);
    return;
  }
  EXPECT_EQ(event.sequence(), static_cast<std::int64_t>(log.events.size()) + 1);
  EXPECT_FALSE(event.name().empty());
  if (!log.events.empty()) {
    EXPECT_EQ(event.name(), log.events[0].name());
  }
  EXPECT_TRUE(event.has_event_time());
  if (event.has_output()) {
    std::string& data =
        event.output().stream() == v1::BuildOutput::STREAM_STDOUT
            ? log.stdout_data
            : log.stderr_data;
    EXPECT_EQ(event.output().offset(), static_cast<std::int64_t>(data.size()));
    EXPECT_FALSE(event.output().data().empty());
    data += event.output().data();
  }
  log.events.push_back(event);
  // Held twice, the large ones would be too much.
  if (event.has_output()) log.events.back().mutable_output()->clear_data();
}

inline BuildLog ReadAll(client::BuildStream stream) {
  BuildLog log;
  for (const absl::StatusOr<v1::BuildEvent>& event : stream) {
    if (event.ok()) {
      Collect(*event, log);
    } else {
      log.status = event.status();
    }
  }
  if (!log.events.empty() && log.events.back().has_finished()) {
    EXPECT_EQ(log.build().stdout_bytes(),
              static_cast<std::int64_t>(log.stdout_data.size()));
    EXPECT_EQ(log.build().stderr_bytes(),
              static_cast<std::int64_t>(log.stderr_data.size()));
    EXPECT_EQ(log.build().last_sequence(), log.events.back().sequence());
  }
  return log;
}

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_SUPPORT_TEST_SERVER_H_
