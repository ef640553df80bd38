#include "build/policy.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "containerbuilder/nerdctl_build_flags.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::ReasonOf;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::StatusOf;
using ::containerbuilder::test_support::TempDir;
using ::google::protobuf::TextFormat;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// The field that an error names.
std::string FieldOf(const absl::Status& status) {
  const auto payload =
      status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  ::containerbuilder::errors::v1::BadRequest details;
  if (!payload || !details.ParseFromString(std::string(*payload)) ||
      details.field_violations().empty()) {
    return "";
  }
  return details.field_violations(0).field();
}

// The setting that would allow what an error refuses.
std::string SettingOf(const absl::Status& status) {
  const auto payload =
      status.GetPayload("type.googleapis.com/google.rpc.ErrorInfo");
  ::containerbuilder::errors::v1::ErrorInfo info;
  if (!payload || !info.ParseFromString(std::string(*payload))) return "";
  const auto setting = info.metadata().find("setting");
  return setting == info.metadata().end() ? "" : setting->second;
}

// A refusal by its code, reason and field.
MATCHER_P3(Refuses, code, reason, field, "") {
  const absl::Status& status = StatusOf(arg);
  *result_listener << "which is " << status.ToString();
  return status.code() == code && ReasonOf(status) == reason &&
         FieldOf(status) == field;
}

auto Invalid(const std::string& field) {
  return Refuses(absl::StatusCode::kInvalidArgument, "OPTION_INVALID", field);
}

auto NotAllowed(const std::string& field) {
  return Refuses(absl::StatusCode::kPermissionDenied, "OPTION_NOT_ALLOWED",
                 field);
}

auto PathNotAllowed(const std::string& field) {
  return Refuses(absl::StatusCode::kPermissionDenied, "PATH_NOT_ALLOWED",
                 field);
}

// What nerdctl 1.7.7 tells of itself.
NerdctlInfo Nerdctl() {
  NerdctlInfo info;
  info.path = "/usr/bin/nerdctl";
  info.version = "1.7.7";
  info.flags["help"] = false;
  for (const NerdctlBuildFlag& flag : kNerdctlBuildFlags) {
    if (flag.since != "1.7") continue;
    info.flags[std::string(flag.name)] =
        flag.kind != NerdctlBuildFlag::Kind::kSwitch;
  }
  return info;
}

// A working folder `w` with a context, a root `open` with another, and what
// lies beside them.
class PolicyTest : public testing::Test {
 protected:
  PolicyTest() {
    for (const char* context : {"w/ctx", "open/ctx", "open2/ctx", "shut/ctx"}) {
      folder_.WriteFile(absl::StrCat(context, "/Dockerfile"), "FROM scratch");
    }
    Link(folder_.Path("shut/ctx"), "open/out");
    Link("../shut/ctx", "open/out-relative");
    Link(folder_.Path("open/ctx"), "open/in");
    Link(folder_.Path("shut/ctx/Dockerfile"), "open/ctx/Dockerfile.out");
    Link(folder_.Path("open/ctx/Dockerfile"), "shut/ctx/Dockerfile.in");
    Link(folder_.Path("open"), "alias");
  }

  void Link(const std::string& target, const std::string& name) const {
    std::filesystem::create_symlink(target, folder_.Path(name));
  }

  Host MakeHost() const {
    Host host;
    host.working_folder = folder_.Path("w");
    return host;
  }

  std::shared_ptr<const Policy> MakePolicy(const PolicyOptions& options) const {
    absl::StatusOr<std::shared_ptr<const Policy>> policy = Policy::Create(
        options, MakeHost(), {folder_.Path("state"), folder_.Path("secrets")});
    EXPECT_THAT(policy, IsOk());
    return *policy;
  }

  static PolicyOptions Reading(std::vector<std::string> roots) {
    PolicyOptions options;
    options.read_roots = std::move(roots);
    return options;
  }

  std::shared_ptr<const Policy> MakePolicy() const {
    return MakePolicy(Reading({folder_.Path("open")}));
  }

  // Where copies would be; nothing is copied by the policy.
  static StagingPlace Staging() { return {"/state/builds/x/staging"}; }

  // A request with a good context.
  static v1::BuildRequest Request(const std::string& options = "") {
    v1::BuildRequest request;
    EXPECT_TRUE(TextFormat::ParseFromString(
        options, request.mutable_spec()->mutable_options()));
    return request;
  }

  absl::StatusOr<AdmittedSpec> Admit(const v1::BuildRequest& request,
                                     const Caller& caller = {
                                         "local", /*trusted=*/true}) const {
    return MakePolicy()->Admit(request.spec(), request.policy(), caller,
                               Nerdctl(), Staging());
  }

  absl::StatusOr<AdmittedSpec> Admit(const std::string& options) const {
    return Admit(Request(options));
  }

  // Whole requests in text format.
  absl::StatusOr<AdmittedSpec> AdmitRequest(const std::string& text) const {
    v1::BuildRequest request;
    EXPECT_TRUE(TextFormat::ParseFromString(text, &request));
    return Admit(request);
  }

  // As a caller who is not trusted, in the open context unless `options` name
  // one.
  absl::StatusOr<AdmittedSpec> AdmitUntrusted(
      const std::string& options) const {
    v1::BuildRequest request = Request(options);
    if (request.spec().options().context_path().empty()) {
      request.mutable_spec()->mutable_options()->set_context_path(
          folder_.Path("open/ctx"));
    }
    return MakePolicy()->Admit(request.spec(), request.policy(),
                               {"anonymous", false}, Nerdctl(), Staging());
  }

  absl::StatusOr<AdmittedSpec> AdmitUntrustedContext(
      const std::string& path) const {
    return AdmitUntrusted(absl::StrCat("context_path: '", path, "'"));
  }

  const TempDir folder_;
};

std::string OneOption(const std::string& name, const std::string& value) {
  return absl::StrCat("options { name: '", name, "' value { ", value, " } }");
}

TEST_F(PolicyTest, AdmitsAndFillsInTheRest) {
  const std::string options =
      absl::StrCat("context_path: '", folder_.Path("w/ctx"),
                   "' build_arg { pairs { pairs { key: 'A' value: '1' } } }"
                   "options { name: 'no_cache' value { flag: true } }"
                   "options { name: 'quiet' value { flag: false } }"
                   "options { name: 'file' value { text: 'ctx/Dockerfile' } }");
  v1::BuildRequest request = Request(options);
  (*request.mutable_spec()->mutable_environment())["TRACESTATE"] = "a=b";
  (*request.mutable_spec()->mutable_environment())["SOURCE_DATE_EPOCH"] = "0";
  const auto admitted = Admit(request);
  ASSERT_THAT(admitted, IsOk());
  EXPECT_THAT(
      admitted->args(),
      ElementsAre("--build-arg", "A=1", "--no-cache", "--file",
                  folder_.Path("w/ctx/Dockerfile"), folder_.Path("w/ctx")));
  EXPECT_EQ(admitted->working_folder(), folder_.Path("w/ctx"));
  EXPECT_THAT(admitted->environment(),
              ElementsAre("SOURCE_DATE_EPOCH=0", "TRACESTATE=a=b"));
  EXPECT_EQ(admitted->nerdctl().version, "1.7.7");
  EXPECT_EQ(admitted->grace_period(), absl::Seconds(10));
  EXPECT_EQ(admitted->timeout(), absl::InfiniteDuration());
  EXPECT_EQ(admitted->queue_ttl(), absl::InfiniteDuration());
  EXPECT_EQ(admitted->policy().grace_period().seconds(), 10);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(
      admitted->spec(), request.spec()));
}

TEST_F(PolicyTest, TakesDurationsAsTheyAre) {
  const auto admitted = AdmitRequest(
      "policy { timeout { nanos: 1 } grace_period { seconds: 604800 }"
      "queue_ttl { seconds: 1 } linger { seconds: 2 }"
      "disconnect_policy: DISCONNECT_POLICY_LINGER }");
  ASSERT_THAT(admitted, IsOk());
  EXPECT_EQ(admitted->timeout(), absl::Nanoseconds(1));
  EXPECT_EQ(admitted->grace_period(), absl::Hours(7 * 24));
  EXPECT_EQ(admitted->queue_ttl(), absl::Seconds(1));
  EXPECT_EQ(admitted->linger(), absl::Seconds(2));
}

TEST_F(PolicyTest, LingersForAMinuteUnlessToldOtherwise) {
  const auto admitted =
      AdmitRequest("policy { disconnect_policy: DISCONNECT_POLICY_LINGER }");
  ASSERT_THAT(admitted, IsOk());
  EXPECT_EQ(admitted->linger(), absl::Seconds(60));
  EXPECT_EQ(admitted->policy().linger().seconds(), 60);
}

TEST_F(PolicyTest, RefusesBadDurations) {
  for (const std::string field :
       {"timeout", "grace_period", "queue_ttl", "linger"}) {
    for (const std::string value :
         {"seconds: -1", "nanos: -1", "seconds: 604801",
          "seconds: 604800 nanos: 1", "nanos: 1000000000",
          "seconds: 1 nanos: -1", "seconds: -9223372036854775808",
          "seconds: 9223372036854775807"}) {
      SCOPED_TRACE(absl::StrCat(field, " { ", value, " }"));
      EXPECT_THAT(
          AdmitRequest(absl::StrCat("policy { ", field, " { ", value, " } }")),
          Invalid("policy." + field));
    }
  }
}

TEST_F(PolicyTest, UsesWhatIsByValueFromStagingAlone) {
  const std::string digest = "sha256:" + std::string(64, '0');
  const std::string staging = Staging().folder;
  // A relative text is the context's, though there is such a file here.
  v1::BuildRequest request = Request(
      "context_path: 'sub' output { values { values: 'out' } }"
      "options { name: 'iidfile' value { text: 'ctx/Dockerfile' } }");
  request.mutable_spec()->set_context_digest(digest);
  request.mutable_spec()->set_dockerfile("FROM scratch");
  for (const bool trusted : {true, false}) {
    const auto admitted = Admit(request, {"somebody", trusted});
    ASSERT_THAT(admitted, IsOk());
    EXPECT_THAT(admitted->args(),
                ElementsAre("--output",
                            "type=tar,dest=" + staging + "/artifacts/1/file",
                            "--iidfile", staging + "/artifacts/2/file",
                            "--file", staging + "/dockerfile/Dockerfile",
                            staging + "/context/sub"));
    EXPECT_EQ(admitted->working_folder(), staging + "/context");
    ASSERT_THAT(admitted->staging().artifacts, SizeIs(2));
    EXPECT_EQ(admitted->staging().artifacts[0].filename, "out");
    EXPECT_EQ(admitted->staging().artifacts[1].filename, "ctx/Dockerfile");
    ASSERT_THAT(admitted->staging().inputs, SizeIs(2));
    EXPECT_EQ(admitted->staging().inputs[0].digest, digest);
    EXPECT_EQ(admitted->staging().inputs[0].caller, "somebody");
  }
  EXPECT_THAT(AdmitRequest("spec { context_digest: 'sha256:1' }"),
              Invalid("spec.context_digest"));
  EXPECT_THAT(AdmitRequest("spec { dockerignore: '' }"),
              Invalid("spec.dockerignore"));
  EXPECT_THAT(AdmitRequest("spec { dockerfile: 'FROM x' options { options { "
                           "name: 'file' value { text: 'x' } } } }"),
              Invalid("spec.options.options[0].value"));
}

TEST_F(PolicyTest, LetsOnlyAdminsGoFirst) {
  v1::BuildRequest request = Request();
  request.mutable_policy()->set_priority(-1);
  EXPECT_THAT(Admit(request), IsOk());
  request.mutable_policy()->set_priority(1);
  EXPECT_THAT(Admit(request), Refuses(absl::StatusCode::kPermissionDenied,
                                      "OPTION_NOT_ALLOWED", "policy.priority"));
  EXPECT_THAT(Admit(request, Caller::Local()), IsOk());
}

TEST_F(PolicyTest, RefusesUnknownDisconnectPolicies) {
  v1::BuildRequest request = Request();
  for (const int number : {-1, 4, 1000}) {
    request.mutable_policy()->set_disconnect_policy(
        static_cast<v1::DisconnectPolicy>(number));
    EXPECT_THAT(Admit(request), Invalid("policy.disconnect_policy"));
  }
}

TEST_F(PolicyTest, RefusesBadEnvironments) {
  const std::string trace = "0af7651916cd43dd8448eb211c80319c";
  const std::string parent = "b7ad6b7169203331";
  const std::pair<std::string, std::string> bad[] = {
      {"SOURCE_DATE_EPOCH", ""},
      {"SOURCE_DATE_EPOCH", "-1"},
      {"SOURCE_DATE_EPOCH", "+1"},
      {"SOURCE_DATE_EPOCH", " 1"},
      {"SOURCE_DATE_EPOCH", "1\n"},
      {"SOURCE_DATE_EPOCH", "0x1"},
      {"SOURCE_DATE_EPOCH", "99999999999999999999"},
      {"SOURCE_DATE_EPOCH", std::string("1\0", 2)},
      {"TRACEPARENT", ""},
      {"TRACEPARENT", "00-" + trace + "-" + parent},
      {"TRACEPARENT", "00-" + trace + "-" + parent + "-01-x"},
      {"TRACEPARENT", "00-" + trace + "-" + parent + "-01\n"},
      {"TRACEPARENT", "ff-" + trace + "-" + parent + "-01"},
      {"TRACEPARENT", "00-" + trace + "-" + parent + "-0G"},
      {"TRACEPARENT", "00-" + trace + "-B7AD6B7169203331-01"},
      {"TRACEPARENT", "00-" + std::string(32, '0') + "-" + parent + "-01"},
      {"TRACEPARENT", "00-" + trace + "-0000000000000000-01"},
      {"TRACESTATE", "a\n"},
      {"TRACESTATE", "é"},
      {"TRACESTATE", std::string("a\0", 2)},
      {"TRACESTATE", std::string(limits::kMaxArgumentBytes, 'a')},
  };
  for (const auto& [name, value] : bad) {
    v1::BuildRequest request = Request();
    (*request.mutable_spec()->mutable_environment())[name] = value;
    EXPECT_THAT(Admit(request), Invalid("spec.environment[" + name + "]"))
        << value;
  }
  for (const std::string name :
       {"", "PATH", "HOME", "LD_PRELOAD", "DOCKER_CONFIG", "BUILDKIT_HOST",
        "NERDCTL_TOML", "TMPDIR", "HTTP_PROXY", "source_date_epoch",
        "TRACEPARENT=x", "CONTAINER_BUILDER_BUILD",
        "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY"}) {
    v1::BuildRequest request = Request();
    (*request.mutable_spec()->mutable_environment())[name] = "1";
    EXPECT_THAT(Admit(request), NotAllowed("spec.environment[" + name + "]"));
  }
  v1::BuildRequest request = Request();
  (*request.mutable_spec()->mutable_environment())["TRACEPARENT"] =
      "00-" + trace + "-" + parent + "-01";
  EXPECT_THAT(Admit(request), IsOk());
}

TEST_F(PolicyTest, RefusesBadNames) {
  for (const std::string name :
       {"", "-", "_", "1", "Tag", "tAg", "--tag", "-t", "tag=x", "tag ", " tag",
        "tag\\n", "tag\\000", "t\303\244g", "../tag"}) {
    EXPECT_THAT(Admit(OneOption("tag", "text: 'a'") +
                      OneOption(name, "values { values: 'a' }")),
                Invalid("spec.options.options[1].name"))
        << name;
    // Also where nothing would be written.
    EXPECT_THAT(Admit(OneOption(name, "")),
                Invalid("spec.options.options[0].name"))
        << name;
  }
}

TEST_F(PolicyTest, RefusesTheNamedParametersAmongTheOptions) {
  for (const std::string name :
       {"context_path", "context-path", "build_arg", "build-arg", "cache_from",
        "cache-from", "cache_to", "cache-to", "label", "output", "secret"}) {
    EXPECT_THAT(Admit(OneOption(name, "text: 'a'")),
                Invalid("spec.options.options[0].name"))
        << name;
  }
  EXPECT_THAT(Admit(OneOption("cache-to", "text: 'a'")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("use spec.options.cache_to")));
}

TEST_F(PolicyTest, RefusesUnknownNames) {
  for (const std::string name : {"t", "f", "o", "tags", "namespace",
                                 "hosts-dir", "address", "help", "no__cache"}) {
    EXPECT_THAT(Admit(OneOption(name, "flag: true")),
                Refuses(absl::StatusCode::kInvalidArgument, "OPTION_UNKNOWN",
                        "spec.options.options[0].name"))
        << name;
  }
  EXPECT_THAT(Admit(OneOption("tgo", "flag: true")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--tgo"), HasSubstr("tag, target"))));
}

TEST_F(PolicyTest, RefusesFlagsThatNerdctlLacks) {
  EXPECT_THAT(Admit(OneOption("pull", "flag: true")),
              Refuses(absl::StatusCode::kFailedPrecondition,
                      "OPTION_UNSUPPORTED", "spec.options.options[0].value"));
  EXPECT_THAT(Admit(OneOption("pull", "flag: true")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("1.7.7"), HasSubstr("--pull"))));
  EXPECT_THAT(Admit(OneOption("add_host", "values { values: 'a:b' }")),
              HasReason("OPTION_UNSUPPORTED"));
  // Nothing is written.
  EXPECT_THAT(Admit(OneOption("pull", "flag: false")), IsOk());
  EXPECT_THAT(Admit(OneOption("pull", "")), IsOk());

  NerdctlInfo nerdctl = Nerdctl();
  nerdctl.flags.clear();  // it did not tell
  const auto admit = [&](const std::string& options) {
    return MakePolicy()->Admit(Request(options).spec(), {}, {"local", true},
                               nerdctl, Staging());
  };
  EXPECT_THAT(admit(OneOption("pull", "flag: true")), IsOk());
  EXPECT_THAT(admit(OneOption("pull", "text: 'a'")),
              HasReason("OPTION_INVALID"));

  nerdctl = Nerdctl();
  nerdctl.flags.erase("secret");
  EXPECT_THAT(admit("secret { text: 'id=a' }"),
              Refuses(absl::StatusCode::kFailedPrecondition,
                      "OPTION_UNSUPPORTED", "spec.options.secret"));

  nerdctl.flags["new-switch"] = false;
  nerdctl.flags["new-value"] = true;
  // A newer nerdctl knows flags that we do not.
  EXPECT_THAT(admit(OneOption("new_switch", "flag: true")), IsOk());
  EXPECT_THAT(admit(OneOption("new_value", "text: 'a'")), IsOk());
  EXPECT_THAT(admit(OneOption("new_switch", "text: 'a'")),
              HasReason("OPTION_INVALID"));
  EXPECT_THAT(admit(OneOption("new_value", "flag: true")),
              HasReason("OPTION_INVALID"));
}

TEST_F(PolicyTest, RefusesSwitchesWithValues) {
  for (const std::string name : {"no_cache", "no-cache", "quiet", "rm"}) {
    for (const std::string value :
         {"text: '/other'", "text: ''", "text: 'false'",
          "values { values: '/other' }"}) {
      EXPECT_THAT(Admit(OneOption(name, value)),
                  Invalid("spec.options.options[0].value"))
          << name << " " << value;
    }
    EXPECT_THAT(Admit(OneOption(name, "flag: true")), IsOk());
    EXPECT_THAT(Admit(OneOption(name, "flag: false")), IsOk());
    EXPECT_THAT(Admit(OneOption(name, "values {}")), IsOk());
  }
}

TEST_F(PolicyTest, RefusesFlagsWithoutTheirValues) {
  for (const std::string name :
       {"build_arg", "cache_from", "cache_to", "label", "output", "secret"}) {
    EXPECT_THAT(Admit(name + " { flag: true }"),
                Invalid("spec.options." + name));
    EXPECT_THAT(Admit(name + " { flag: false }"), IsOk());
  }
  for (const std::string name :
       {"tag", "file", "platform", "progress", "ssh"}) {
    EXPECT_THAT(Admit(OneOption(name, "flag: true")),
                Invalid("spec.options.options[0].value"));
    EXPECT_THAT(Admit(OneOption(name, "flag: false")), IsOk());
  }
}

TEST_F(PolicyTest, RefusesPairsOutsideTheSix) {
  EXPECT_THAT(Admit(OneOption("tag", "pairs { pairs { key: 'a' } }")),
              Invalid("spec.options.options[0].value"));
}

TEST_F(PolicyTest, RefusesEmptyTags) {
  for (const std::string value :
       {"text: ''", "values { values: 'a' values: '' }"}) {
    EXPECT_THAT(Admit(OneOption("tag", value)),
                Invalid("spec.options.options[0].value"));
  }
  EXPECT_THAT(Admit(OneOption("target", "text: ''")), IsOk());
}

TEST_F(PolicyTest, RefusesMoreThanOneOutput) {
  EXPECT_THAT(
      Admit("output { values { values: 'type=tar' values: 'type=tar' } }"),
      Invalid("spec.options.output"));
  EXPECT_THAT(Admit("output { values { values: 'type=tar' } }"), IsOk());
  EXPECT_THAT(Admit("output { values {} }"), IsOk());
}

// To look at each value would take minutes: that of one of them breaks a rule
// is not even noticed.
TEST_F(PolicyTest, RefusesWhatIsTooMuchBeforeItAsksTheRules) {
  v1::BuildRequest request;
  v1::BuildOptions& options = *request.mutable_spec()->mutable_options();
  options.set_context_path(folder_.Path("open/ctx"));
  v1::Option& files = *options.add_options();
  files.set_name("file");
  constexpr std::size_t kMaxRequestBytes = limits::kMaxRequestBytes;
  const std::string path = "/etc/passwd";
  for (std::size_t i = 0; i < kMaxRequestBytes / (path.size() + 2); ++i) {
    files.mutable_value()->mutable_values()->add_values(path);
  }
  const Caller stranger = {"anonymous", false};
  EXPECT_THAT(Admit(request, stranger),
              Invalid("spec.options.options[0].value"));
  const NerdctlInfo nerdctl = Nerdctl();
  EXPECT_THAT(MakePolicy()->Warnings(options, stranger, &nerdctl),
              ElementsAre(HasSubstr("the system grants")));

  // So many texts, one by one.
  options.clear_options();
  for (int i = 0; i < 300'000; ++i) {
    v1::Option& option = *options.add_options();
    option.set_name("file");
    option.mutable_value()->set_text(path);
  }
  EXPECT_THAT(Admit(request, stranger), HasReason("OPTION_INVALID"));
}

// Those of a push are about all tags, for each output.
TEST_F(PolicyTest, RefusesASecondOutputBeforeItAsksTheRules) {
  PolicyOptions policy = Reading({folder_.Path("open")});
  policy.allowed_options = {"output", "tag"};
  const v1::BuildRequest request = Request(
      absl::StrCat("context_path: '", folder_.Path("open/ctx"),
                   "' output { values { values: 'type=image,push=1' "
                   "                    values: 'type=image,push=1' } }",
                   OneOption("tag", "values { values: 'evil.test/a' }")));
  EXPECT_THAT(
      MakePolicy(policy)->Admit(request.spec(), {}, {"anonymous", false},
                                Nerdctl(), Staging()),
      Invalid("spec.options.output"));
}

TEST_F(PolicyTest, RefusesNulBytes) {
  EXPECT_THAT(Admit("context_path: '/a\\000b'"),
              Invalid("spec.options.context_path"));
  EXPECT_THAT(Admit("context_path: '.\\000'"),
              Invalid("spec.options.context_path"));
  EXPECT_THAT(
      Admit("build_arg { pairs { pairs { key: 'a' value: '\\000' } } }"),
      Invalid("spec.options.build_arg"));
  EXPECT_THAT(Admit("secret { pairs { pairs { key: 'a\\000' } } }"),
              Invalid("spec.options.secret"));
  EXPECT_THAT(Admit("label { text: '\\000' }"), Invalid("spec.options.label"));
  EXPECT_THAT(
      Admit(OneOption("no_cache", "flag: true") +
            OneOption("target", "values { values: 'a' values: 'b\\000' }")),
      Invalid("spec.options.options[1].value"));
}

TEST_F(PolicyTest, RefusesArgumentsThatTheSystemDoesNotTake) {
  v1::BuildRequest request;
  v1::OptionValue& label =
      *request.mutable_spec()->mutable_options()->mutable_label();
  label.set_text(std::string(131071, 'a'));
  EXPECT_THAT(Admit(request), IsOk());
  label.set_text(std::string(131072, 'a'));
  EXPECT_THAT(Admit(request), Invalid("spec.options.label"));

  // `KEY=VALUE` is one argument.
  v1::Pair& pair = *label.mutable_pairs()->add_pairs();
  pair.set_key(std::string(65536, 'k'));
  pair.set_value(std::string(65534, 'v'));
  EXPECT_THAT(Admit(request), IsOk());
  pair.mutable_value()->push_back('v');
  EXPECT_THAT(Admit(request), Invalid("spec.options.label"));

  request.Clear();
  request.mutable_spec()->mutable_options()->set_context_path(
      "/" + std::string(131071, 'a'));
  EXPECT_THAT(Admit(request), Invalid("spec.options.context_path"));
}

TEST_F(PolicyTest, RefusesMoreArgumentsThanTheSystemTakes) {
  v1::BuildRequest request = Request(OneOption("tag", "text: 'a'"));
  v1::BuildOptions& options = *request.mutable_spec()->mutable_options();
  v1::ValueList& build_args = *options.mutable_build_arg()->mutable_values();
  build_args.add_values(std::string(100'000, 'a'));
  v1::ValueList& labels = *options.mutable_label()->mutable_values();
  // Small ones: `--label`, its value and a pointer to each cost 26 bytes.
  const std::size_t granted =
      std::min<std::size_t>(sysconf(_SC_ARG_MAX), 6 * 1024 * 1024);
  for (std::size_t i = 0; i < granted / 26; ++i) labels.add_values("a");
  EXPECT_THAT(Admit(request), Invalid("spec.options.label"));

  labels.clear_values();
  for (int i = 0; i < 60; ++i) {
    build_args.add_values(std::string(131'000, 'a'));
  }
  EXPECT_THAT(Admit(request), Invalid("spec.options.build_arg"));
}

TEST_F(PolicyTest, RefusesBadContexts) {
  constexpr absl::string_view kField = "spec.options.context_path";
  folder_.WriteFile("w/file", "");
  folder_.WriteFile("w/a:/b/Dockerfile", "");
  const auto context = [&](const std::string& path) {
    return Admit(absl::StrCat("context_path: '", path, "'"));
  };
  for (const std::string& path : std::vector<std::string>{
           "ctx", "./", "./ctx", "..", "../w", "~", " ", "x:/y"}) {
    EXPECT_THAT(context(path), Refuses(absl::StatusCode::kInvalidArgument,
                                       "CONTEXT_RELATIVE", kField))
        << path;
  }
  for (const std::string& path :
       std::vector<std::string>{"-", "--output=x", "-o/etc/x", "--", "git://x",
                                "https://x/y.git", "a://b", "/a://b"}) {
    EXPECT_THAT(context(path), Invalid(std::string(kField))) << path;
  }
  for (const std::string& path : std::vector<std::string>{
           folder_.Path("nowhere"), folder_.Path("w/file/x"),
           "/" + std::string(5000, 'a')}) {
    EXPECT_THAT(context(path), Refuses(absl::StatusCode::kInvalidArgument,
                                       "CONTEXT_NOT_FOUND", kField))
        << path;
  }
  EXPECT_THAT(context(folder_.Path("w/file")),
              Refuses(absl::StatusCode::kInvalidArgument,
                      "CONTEXT_NOT_A_DIRECTORY", kField));
  // A message quotes a path, but not megabytes of it.
  EXPECT_THAT(
      std::string(context(std::string(100'000, 'a')).status().message()),
      SizeIs(testing::Lt(500)));
}

TEST_F(PolicyTest, TakesTheWorkingFolderForNoContext) {
  for (const std::string& path : std::vector<std::string>{"", "."}) {
    const auto admitted = Admit(absl::StrCat("context_path: '", path, "'"));
    ASSERT_THAT(admitted, IsOk());
    EXPECT_EQ(admitted->working_folder(), folder_.Path("w"));
    EXPECT_THAT(admitted->args(), ElementsAre("."));
  }
}

TEST_F(PolicyTest, LetsTrustedCallersUseEveryOptionAndPath) {
  EXPECT_THAT(
      Admit(absl::StrCat(
          "context_path: '", folder_.Path("shut/ctx"),
          "' build_arg { values { values: 'BARE' } }"
          "cache_from { text: 'type=local,src=/' }"
          "cache_to { text: 'type=local,dest=/' }"
          "output { text: 'type=local,dest=/' }"
          "secret { text: 'id=a,src=/etc/shadow' }"
          "options { name: 'allow' value { text: 'security.insecure' } }"
          "options { name: 'buildkit_host' value { text: 'tcp://h:1' } }"
          "options { name: 'file' value { text: '/etc/passwd' } }"
          "options { name: 'iidfile' value { text: '/x' } }"
          "options { name: 'network' value { text: 'host' } }"
          "options { name: 'progress' value { text: 'tty' } }"
          "options { name: 'ssh' value { text: 'default' } }")),
      IsOk());
}

// buildctl would follow a link in a cache, and print what it does not read.
TEST_F(PolicyTest, TakesCachesWithoutLinksAlone) {
  PolicyOptions options = Reading({folder_.Path("open")});
  options.allowed_options = {"cache-from"};
  const auto policy = MakePolicy(options);
  const Caller stranger = {"anonymous", false};
  const std::string staging = folder_.Path("staging");
  folder_.MakeDir("open/cache");
  v1::BuildRequest request =
      Request(absl::StrCat("context_path: '", folder_.Path("open/ctx"),
                           "' cache_from { text: 'type=local,src=../cache' }"));
  const auto copied =
      policy->Admit(request.spec(), {}, stranger, Nerdctl(), {staging});
  ASSERT_THAT(copied, IsOk());
  request = Request("cache_from { text: 'type=local,src=cache' }");
  request.mutable_spec()->set_context_digest("sha256:" + std::string(64, '0'));
  const auto uploaded =
      policy->Admit(request.spec(), {}, stranger, Nerdctl(), {staging});
  ASSERT_THAT(uploaded, IsOk());

  ASSERT_THAT(copied->staging().inputs, SizeIs(2));
  for (const auto& [spec, cache] :
       {std::pair(&*copied, copied->staging().inputs[0].name),
        std::pair(&*uploaded, std::string("context/cache"))}) {
    for (const std::string& name : std::vector<std::string>{
             "index.json", "index.json.lock", "blobs/sha256/a"}) {
      SCOPED_TRACE(absl::StrCat(cache, " ", name));
      std::filesystem::remove_all(staging);
      folder_.WriteFile("staging/context/Dockerfile", "FROM scratch");
      folder_.WriteFile(absl::StrCat("staging/", cache, "/blobs/sha256/b"), "");
      EXPECT_THAT(policy->CheckStaged(*spec, staging, stranger), IsOk());
      Link("/etc/hostname", absl::StrCat("staging/", cache, "/", name));
      EXPECT_THAT(policy->CheckStaged(*spec, staging, stranger),
                  PathNotAllowed("spec.options.cache_from"));
    }
  }
}

// nerdctl reads both where there are both, though it uses the one alone.
TEST_F(PolicyTest, ChecksTheContainerfileBesideANamedDockerfile) {
  const auto policy = MakePolicy();
  const std::string staging = folder_.Path("staging");
  const auto check = [&](const std::string& file, const Caller& caller) {
    v1::BuildRequest request =
        Request(OneOption("file", absl::StrCat("text: '", file, "'")));
    request.mutable_spec()->set_context_digest("sha256:" +
                                               std::string(64, '0'));
    const auto spec =
        policy->Admit(request.spec(), {}, caller, Nerdctl(), {staging});
    return spec.ok() ? policy->CheckStaged(*spec, staging, caller)
                     : spec.status();
  };
  const Caller stranger = {"anonymous", false};
  const std::string field = "spec.options.options[0].value";
  for (const char* name : {"Dockerfile", "Dockerfile.b", "MyDockerfile"}) {
    folder_.WriteFile(absl::StrCat("staging/context/sub/", name),
                      "FROM scratch");
  }
  const std::string beside = "staging/context/sub/Containerfile";
  EXPECT_THAT(check("sub/Dockerfile", stranger), IsOk());
  folder_.WriteFile(beside, "FROM scratch");
  EXPECT_THAT(check("sub/Dockerfile", stranger), IsOk());
  folder_.WriteFile(beside, "# syntax=evil/frontend");
  EXPECT_THAT(check("sub/Dockerfile", stranger), NotAllowed(field));
  folder_.WriteFile(beside, "");
  std::filesystem::resize_file(folder_.Path(beside),
                               limits::kMaxDockerfileBytes + 1);
  EXPECT_THAT(
      check("./sub//Dockerfile", stranger),
      Refuses(absl::StatusCode::kResourceExhausted, "TOO_LARGE", field));
  // It is read beside no other name.
  EXPECT_THAT(check("sub/Dockerfile.b", stranger), IsOk());
  EXPECT_THAT(check("sub/MyDockerfile", stranger), IsOk());
  EXPECT_THAT(check("sub/Dockerfile", {"root", true}), IsOk());
  std::filesystem::remove(folder_.Path(beside));
  Link("/dev/zero", beside);
  EXPECT_THAT(check("sub/Dockerfile", stranger), PathNotAllowed(field));
}

// What BuildKit makes of a link, by text and one link after the other, is not
// what the kernel does.
TEST_F(PolicyTest, FollowsDockerfileLinksOnlyWhereBuildKitDoesTheSame) {
  const auto policy = MakePolicy();
  const std::string staging = folder_.Path("staging");
  const Caller stranger = {"anonymous", false};
  const std::string evil = "# syntax=evil/frontend";
  using Paths = std::vector<std::pair<std::string, std::string>>;
  const auto check = [&](const Paths& links, const Paths& files,
                         const std::string& option, bool uploaded,
                         const Caller& caller) {
    std::filesystem::remove_all(staging);
    const std::string context = "staging/context/";
    for (const auto& [name, text] : files) {
      folder_.WriteFile(context + name, text);
    }
    for (const auto& [name, target] : links) {
      std::filesystem::create_directories(
          std::filesystem::path(folder_.Path(context + name)).parent_path());
      Link(target, context + name);
    }
    v1::BuildRequest request = Request(option);
    if (uploaded) {
      request.mutable_spec()->set_context_digest("sha256:" +
                                                 std::string(64, '0'));
    } else {
      request.mutable_spec()->mutable_options()->set_context_path(
          folder_.Path("open/ctx"));
    }
    const auto spec =
        policy->Admit(request.spec(), {}, caller, Nerdctl(), {staging});
    return spec.ok() ? policy->CheckStaged(*spec, staging, caller)
                     : spec.status();
  };

  struct Layout {
    Paths links;
    Paths files;
  };
  const std::string benign = "FROM scratch";
  for (const auto& [links, files] : std::vector<Layout>{
           // Either way round.
           {{{"Dockerfile", "s/f"},
             {"s", "t/u"},
             {"t/u", "../w/z"},
             {"w/z/f", "../g"}},
            {{"w/g", benign}, {"t/g", evil}}},
           {{{"a", "x/y"}, {"Dockerfile", "a/../evil"}},
            {{"x/evil", benign}, {"x/y/f", ""}, {"evil", evil}}},
           {{{"Dockerfile", "none/../evil"}}, {{"evil", evil}}},
           {{{"Dockerfile", "none/../evil"}},
            {{"evil", evil}, {"Containerfile", benign}}},
           {{{"Dockerfile", "x/../f"}}, {{"x/g", ""}, {"f", benign}}},
           {{{"Dockerfile", "l"}, {"l", "f"}}, {{"f", benign}}},
           {{{"Dockerfile", "l/f"}, {"l", "x"}}, {{"x/f", benign}}},
           {{{"Dockerfile", "/etc/hostname"}}, {}},
           {{{"Dockerfile", "missing"}}, {}},
           {{{"Dockerfile", "Dockerfile"}}, {}},
           {{{"Dockerfile", "[f]"}}, {{"[f]", benign}}},
           {{{"Dockerfile", "a\\f"}}, {{"a\\f", benign}}},
           {{{"Containerfile", "x/../f"}}, {{"x/g", ""}, {"f", benign}}},
           {{{"dockerfile", "x/../f"}}, {{"x/g", ""}, {"f", benign}}}}) {
    SCOPED_TRACE(links[0].first + " -> " + links[0].second);
    for (const bool uploaded : {false, true}) {
      EXPECT_THAT(check(links, files, "", uploaded, stranger),
                  PathNotAllowed("spec.options.context_path"));
      EXPECT_THAT(check(links, files, "", uploaded, {"root", true}), IsOk());
    }
    // What an upload lacks is told before.
    EXPECT_THAT(
        check(links, files, OneOption("file", "text: '" + links[0].first + "'"),
              true, stranger),
        testing::AnyOf(PathNotAllowed("spec.options.options[0].value"),
                       Invalid("spec.options.options[0].value")));
  }

  for (const std::string target :
       {"f", "./f", "x/f", "x//./f", "..f", "x/..f"}) {
    for (const std::string& text : {benign, evil}) {
      const Paths files = {
          {"f", text}, {"x/f", text}, {"..f", text}, {"x/..f", text}};
      for (const std::string name :
           {"Dockerfile", "Containerfile", "dockerfile"}) {
        SCOPED_TRACE(absl::StrCat(name, " -> ", target, ": ", text));
        for (const bool uploaded : {false, true}) {
          EXPECT_EQ(check({{name, target}}, files, "", uploaded, stranger).ok(),
                    text == benign);
        }
        EXPECT_EQ(
            check({{name, target}}, files,
                  OneOption("file", "text: '" + name + "'"), true, stranger)
                .ok(),
            text == benign);
      }
    }
  }

  // Folders are resolved by buildctl as by the kernel.
  const std::string in_link = OneOption("file", "text: 'l/Dockerfile'");
  EXPECT_THAT(
      check({{"l", "x"}}, {{"x/Dockerfile", benign}}, in_link, true, stranger),
      IsOk());
  EXPECT_THAT(
      check({{"l", "x"}}, {{"x/Dockerfile", evil}}, in_link, true, stranger),
      NotAllowed("spec.options.options[0].value"));
  EXPECT_THAT(check({{"l", "x"}, {"x/Dockerfile", "../f"}}, {{"f", benign}},
                    in_link, true, stranger),
              PathNotAllowed("spec.options.options[0].value"));
  // BuildKit has it in place of one that it cannot read.
  EXPECT_THAT(check({}, {{"x/Dockerfile", benign}, {"x/dockerfile", evil}},
                    OneOption("file", "text: 'x/Dockerfile'"), true, stranger),
              NotAllowed("spec.options.options[0].value"));
}

// buildctl takes it off the ends of what nerdctl tells it.
TEST_F(PolicyTest, RefusesUntrustedCallersPathsThatBuildctlReadsAsOthers) {
  PolicyOptions options = Reading({folder_.Path("open")});
  options.allowed_options = {"build-context", "cache-from", "file",
                             "secret",        "build-arg",  "label"};
  const auto policy = MakePolicy(options);
  const auto admit = [&](const std::string& text, const Caller& caller) {
    v1::BuildRequest request = Request(text);
    request.mutable_spec()->set_context_digest("sha256:" +
                                               std::string(64, '0'));
    return policy->Admit(request.spec(), {}, caller, Nerdctl(), Staging());
  };
  const Caller stranger = {"anonymous", false};
  const std::string option = "spec.options.options[0].value";
  for (const std::string blank :
       {" ", "\xc2\xa0", "\xc2\x85", "\xe3\x80\x80"}) {
    for (const std::string& path :
         {"x" + blank, blank + "x", "sub" + blank + "/x", "sub/x" + blank,
          "sub/" + blank + "x", "sub" + blank + "/"}) {
      SCOPED_TRACE(path);
      const auto in_upload = absl::StrCat("context_path: '", path, "'");
      EXPECT_THAT(admit(in_upload, stranger),
                  Invalid("spec.options.context_path"));
      EXPECT_THAT(admit(in_upload, {"root", true}), IsOk());
      const std::string text = absl::StrCat("text: '", path, "'");
      EXPECT_THAT(admit(OneOption("file", text), stranger), Invalid(option));
      EXPECT_THAT(admit(OneOption("file", absl::StrCat("values { values: '",
                                                       path, "' }")),
                        stranger),
                  Invalid(option));
      EXPECT_THAT(admit(OneOption("build_context",
                                  absl::StrCat("text: 'x=", path, "'")),
                        stranger),
                  Invalid(option));
      EXPECT_THAT(admit(absl::StrCat("secret { text: 'id=a,src=", path, "' }"),
                        stranger),
                  Invalid("spec.options.secret"));
      EXPECT_THAT(admit(absl::StrCat(
                            "cache_from { text: 'type=local,src=", path, "' }"),
                        stranger),
                  Invalid("spec.options.cache_from"));
    }
    // It only is missing in what is read as text.
    EXPECT_THAT(admit(absl::StrCat("build_arg { text: 'A=b", blank,
                                   "' } label { text: 'A=b", blank, "' }"),
                      stranger),
                IsOk());
  }
  // Inside of a name it stays.
  EXPECT_THAT(admit("context_path: 'a b/c\xc2\xa0"
                    "d'" +
                        OneOption("file", "text: 'a b/c d'"),
                    stranger),
              IsOk());
}

// BuildKit takes a context of that name for the frontend's image.
TEST_F(PolicyTest, RefusesBuildContextsInThePlaceOfAFrontend) {
  PolicyOptions options = Reading({folder_.Path("open")});
  options.allowed_options = {"build-context"};
  options.allowed_registries = {"docker.io"};
  NerdctlInfo nerdctl = Nerdctl();
  nerdctl.flags["build-context"] = true;
  const auto admit = [&](const std::string& name, const std::string& source) {
    const v1::BuildRequest request = Request(absl::StrCat(
        "context_path: '", folder_.Path("open/ctx"), "'",
        OneOption("build_context",
                  absl::StrCat("text: '", name, "=", source, "'"))));
    return MakePolicy(options)->Admit(request.spec(), {}, {"anonymous", false},
                                      nerdctl, Staging());
  };
  for (const std::string source : {"../ctx", "docker-image://evil"}) {
    SCOPED_TRACE(source);
    options.allowed_frontends = {"docker/dockerfile*", "front:*", "mine:latest",
                                 "other:1"};
    EXPECT_THAT(admit("front", source),
                NotAllowed("spec.options.options[0].value"));
    EXPECT_THAT(admit("mine", source),
                NotAllowed("spec.options.options[0].value"));
    EXPECT_THAT(admit("front2", source), IsOk());
    // Such a name has no tag and means the latest.
    EXPECT_THAT(admit("other", source), IsOk());
    // Any frontend is allowed then, and there is nothing to go round.
    options.allowed_frontends = {"*"};
    EXPECT_THAT(admit("front", source), IsOk());
  }
}

TEST_F(PolicyTest, LetsUntrustedCallersUseHarmlessOptions) {
  NerdctlInfo nerdctl = Nerdctl();
  nerdctl.flags["pull"] = false;
  v1::BuildRequest request = Request(absl::StrCat(
      "context_path: '", folder_.Path("open/ctx"),
      "' build_arg { pairs { pairs { key: 'A' }"
      "pairs { key: 'BUILDKIT_SANDBOX_HOSTNAME' value: 'a' } } }"
      "label { values { values: 'a=b' values: 'bare' } }"
      "output { flag: false }"
      "options { name: 'ssh' value { flag: false } }"
      "options { name: 'tag' value { values { values: 'a' values: 'b' } } }"
      "options { name: 'target' value { text: 'a' } }"
      "options { name: 'platform' value { text: 'linux/amd64' } }"
      "options { name: 'no_cache' value { flag: true } }"
      "options { name: 'pull' value { flag: true } }"
      "options { name: 'quiet' value { flag: true } }"
      "options { name: 'progress' value { text: 'plain' } }"
      "options { name: 'progress' value { values { values: 'rawjson' } } }"
      "options { name: 'network' value { text: 'none' } }"
      "options { name: 'network' value { values { values: 'default' } } }"
      "options { name: 'file' value { text: 'Dockerfile' } }"));
  EXPECT_THAT(MakePolicy()->Admit(request.spec(), {}, {"anonymous", false},
                                  nerdctl, Staging()),
              IsOk());
}

TEST_F(PolicyTest, RefusesOtherOptionsToUntrustedCallers) {
  for (const std::string name :
       {"cache_from", "cache_to", "output", "secret"}) {
    for (const std::string value :
         {"text: 'a'", "text: ''", "values { values: 'a' }",
          "pairs { pairs { key: 'a' } }", "pairs {}", "flag: true"}) {
      EXPECT_THAT(AdmitUntrusted(absl::StrCat(name, " { ", value, " }")),
                  NotAllowed("spec.options." + name))
          << value;
    }
  }
  for (const std::string name :
       {"add_host", "allow", "attest", "build_context", "buildkit-host",
        "iidfile", "provenance", "rm", "sbom", "ssh"}) {
    for (const std::string value : {"text: 'a'", "flag: true"}) {
      EXPECT_THAT(AdmitUntrusted(OneOption(name, value)),
                  NotAllowed("spec.options.options[0].value"))
          << name;
    }
  }
}

TEST_F(PolicyTest, RefusesOtherValuesToUntrustedCallers) {
  for (const std::string value :
       {"text: 'KEY'", "text: '=x'", "text: ''",
        "values { values: 'A=1' values: 'AWS_SECRET_ACCESS_KEY' }",
        "pairs { pairs { value: 'a' } }", "text: 'BUILDKIT_CACHE_MOUNT_NS=x'",
        "text: 'BUILDKIT_INLINE_CACHE=1'",
        "pairs { pairs { key: 'BUILDKIT_ATTEST_SBOM' value: 'generator=x' } "
        "}"}) {
    EXPECT_THAT(AdmitUntrusted("build_arg { " + value + " }"),
                NotAllowed("spec.options.build_arg"))
        << value;
  }
  for (const std::string value : {"host", "", "container:x", "Host", "none "}) {
    EXPECT_THAT(AdmitUntrusted(OneOption("network", "text: '" + value + "'")),
                NotAllowed("spec.options.options[0].value"))
        << value;
  }
  EXPECT_THAT(AdmitUntrusted(OneOption(
                  "network", "values { values: 'none' values: 'host' }")),
              NotAllowed("spec.options.options[0].value"));
  for (const std::string value : {"tty", "auto", "", "quiet"}) {
    EXPECT_THAT(AdmitUntrusted(OneOption("progress", "text: '" + value + "'")),
                NotAllowed("spec.options.options[0].value"))
        << value;
  }
}

TEST_F(PolicyTest, ChecksWhatIsWrittenNotWhatWasSent) {
  // A file of that name under a root of which the working folder is part.
  folder_.WriteFile("w/none", "");
  const auto policy = MakePolicy(Reading({folder_.path()}));
  EXPECT_THAT(
      policy->Admit(Request(OneOption("network", "text: 'none'")).spec(), {},
                    {"anonymous", false}, Nerdctl(), Staging()),
      NotAllowed("spec.options.options[0].value"));
}

TEST_F(PolicyTest, TakesContextsUnderTheRoots) {
  for (const std::string& path : std::vector<std::string>{
           "open", "open/", "open/ctx", "./open/./ctx//", "open/ctx/../ctx",
           "open/in", "open/nowhere/../ctx"}) {
    // The last one exists for who drops `..` by text, but not for the kernel.
    EXPECT_EQ(AdmitUntrustedContext(folder_.Path(path)).ok(),
              path != "open/nowhere/../ctx")
        << path;
  }
}

TEST_F(PolicyTest, RefusesContextsOutsideTheRoots) {
  const std::string field = "spec.options.context_path";
  for (const std::string& path : std::vector<std::string>{
           "/", "//", "/etc", "/nowhere", "/proc/self/root"}) {
    EXPECT_THAT(AdmitUntrustedContext(path), PathNotAllowed(field)) << path;
  }
  for (const std::string& path : std::vector<std::string>{
           "shut/ctx", "shut/nowhere", "open2/ctx", "open2", "ope",
           "open/nowhere", "open/out", "open/out-relative", "open/../shut/ctx",
           "open/ctx/../../shut/ctx", "open/in/../../shut/ctx",
           "shut/../open/ctx", "nowhere/../open/ctx", "open/../open/ctx",
           "alias/ctx", "open/out/../../open/ctx"}) {
    EXPECT_THAT(AdmitUntrustedContext(folder_.Path(path)),
                PathNotAllowed(field))
        << path;
  }
  // The working folder is outside, too.
  EXPECT_THAT(AdmitUntrustedContext("."), PathNotAllowed(field));
  EXPECT_THAT(AdmitUntrustedContext("ctx"), HasReason("CONTEXT_RELATIVE"));
  EXPECT_THAT(AdmitUntrustedContext(folder_.Path("open/ctx/Dockerfile")),
              HasReason("CONTEXT_NOT_A_DIRECTORY"));
}

// nerdctl drops `..` by text, the kernel after it followed the link.
TEST_F(PolicyTest, RefusesContextsThatAreOutsideByEitherReading) {
  const std::string field = "spec.options.context_path";
  folder_.MakeDir("open/ctx/deep");
  folder_.MakeDir("open/ctx/out");
  Link(folder_.Path("open/ctx/deep"), "open/deep");
  EXPECT_THAT(AdmitUntrustedContext(folder_.Path("open/deep/../out")),
              PathNotAllowed(field));  // open/ctx/out, or open/out
  EXPECT_THAT(AdmitUntrustedContext(folder_.Path("open/out/../ctx")),
              PathNotAllowed(field));  // shut/ctx, or open/ctx
  EXPECT_THAT(AdmitUntrustedContext(folder_.Path("open/deep/../../ctx")),
              PathNotAllowed(field));  // open/ctx, or nothing that is open
  EXPECT_THAT(AdmitUntrustedContext(folder_.Path("open/deep")), IsOk());
}

TEST_F(PolicyTest, DoesNotTellUntrustedCallersWhatExists) {
  const auto missing = AdmitUntrustedContext(folder_.Path("shut/no"));
  const auto forbidden = AdmitUntrustedContext(folder_.Path("shut/ctx"));
  EXPECT_THAT(missing, PathNotAllowed("spec.options.context_path"));
  EXPECT_THAT(forbidden, PathNotAllowed("spec.options.context_path"));
  EXPECT_EQ(missing.status().message(), forbidden.status().message());
  EXPECT_EQ(SettingOf(missing.status()), "--read_roots");
  EXPECT_THAT(missing, StatusIs(absl::StatusCode::kPermissionDenied,
                                HasSubstr("--read_roots")));
}

TEST_F(PolicyTest, TakesDockerfilesUnderTheRoots) {
  for (const std::string& path : std::vector<std::string>{
           std::string("Dockerfile"), std::string("./Dockerfile"),
           std::string("../ctx/Dockerfile"), std::string(""), std::string("."),
           folder_.Path("open/ctx/Dockerfile"),
           folder_.Path("open/in/Dockerfile")}) {
    for (const std::string form : {"text: '", "values { values: '"}) {
      EXPECT_THAT(AdmitUntrusted(OneOption(
                      "file", form + path + (form[0] == 't' ? "'" : "' }"))),
                  IsOk())
          << path;
    }
  }
}

TEST_F(PolicyTest, RefusesDockerfilesOutsideTheRoots) {
  for (const std::string& path : std::vector<std::string>{
           std::string("/etc/passwd"), std::string("../../shut/ctx/Dockerfile"),
           std::string("Dockerfile.missing"), std::string("Dockerfile.out"),
           std::string("../out/Dockerfile"), std::string("-"),
           folder_.Path("shut/ctx/Dockerfile"),
           // The file is inside, but nerdctl sends the folder.
           folder_.Path("shut/ctx/Dockerfile.in"),
           std::string("../out/Dockerfile.in")}) {
    for (const std::string form : {"text: '", "values { values: '"}) {
      EXPECT_THAT(AdmitUntrusted(OneOption(
                      "file", form + path + (form[0] == 't' ? "'" : "' }"))),
                  PathNotAllowed("spec.options.options[0].value"))
          << path;
    }
  }
  // Every one counts, though nerdctl uses the last.
  EXPECT_THAT(
      AdmitUntrusted(OneOption(
          "file", "values { values: '/etc/passwd' values: 'Dockerfile' }")),
      HasReason("PATH_NOT_ALLOWED"));
}

TEST_F(PolicyTest, KnowsRootsByNameAndWithoutTheirLinks) {
  const auto admits = [&](const PolicyOptions& options,
                          const std::string& context) {
    return MakePolicy(options)
        ->Admit(Request(absl::StrCat("context_path: '", context, "'")).spec(),
                {}, {"anonymous", false}, Nerdctl(), Staging())
        .ok();
  };
  const std::string in_open = folder_.Path("open/ctx");
  EXPECT_TRUE(admits(Reading({folder_.Path("alias")}), in_open));
  EXPECT_TRUE(
      admits(Reading({folder_.Path("alias")}), folder_.Path("alias/ctx")));
  EXPECT_TRUE(admits(Reading({folder_.Path("open/")}), in_open));
  EXPECT_TRUE(admits(Reading({folder_.Path("shut/../open")}), in_open));
  EXPECT_TRUE(admits(Reading({folder_.Path("shut"), folder_.Path("open")}),
                     folder_.Path("open/out")));
  PolicyOptions writing;
  writing.write_roots = {folder_.Path("open")};
  EXPECT_TRUE(admits(writing, in_open));
  EXPECT_TRUE(admits(Reading({"/"}), in_open));
  EXPECT_TRUE(admits(Reading({"/"}), "/"));
  EXPECT_TRUE(admits(Reading({"/"}), "."));
  EXPECT_FALSE(admits({}, in_open));
  EXPECT_FALSE(admits(Reading({folder_.Path("nowhere")}), in_open));
}

TEST_F(PolicyTest, NeverOpensTheServicesOwnFolder) {
  folder_.MakeDir("state/builds/other");
  folder_.MakeDir("secrets/other");
  const auto policy = MakePolicy(Reading({folder_.path()}));
  for (const std::string& path : std::vector<std::string>{
           "state", "state/builds/other", "open/../state/builds", "secrets",
           "secrets/other", "open/../secrets/other"}) {
    EXPECT_THAT(policy->Admit(Request(absl::StrCat("context_path: '",
                                                   folder_.Path(path), "'"))
                                  .spec(),
                              {}, {"anonymous", false}, Nerdctl(), Staging()),
                PathNotAllowed("spec.options.context_path"))
        << path;
  }
}

TEST_F(PolicyTest, RefusesRawJsonBesideSecrets) {
  PolicyOptions options;
  options.allow_secrets_in_output = true;
  const auto policy = MakePolicy(options);
  const auto admit = [&](const std::string& progress, bool keep, bool secret) {
    v1::BuildRequest request = Request(absl::StrCat(
        "context_path: '", folder_.Path("w/ctx"),
        "' options { name: 'progress' value { values { values: 'plain' "
        "values: '",
        progress, "' } } }"));
    if (secret) request.mutable_spec()->add_secrets()->set_id("a");
    request.mutable_policy()->set_keep_secrets_in_output(keep);
    return policy->Admit(request.spec(), request.policy(), {"local", true},
                         Nerdctl(), Staging());
  };
  EXPECT_THAT(admit("rawjson", /*keep=*/false, /*secret=*/true),
              Invalid("spec.options.options[0].value"));
  EXPECT_THAT(admit("plain", /*keep=*/false, /*secret=*/true), IsOk());
  EXPECT_THAT(admit("rawjson", /*keep=*/true, /*secret=*/true), IsOk());
  EXPECT_THAT(admit("rawjson", /*keep=*/false, /*secret=*/false), IsOk());
}

TEST_F(PolicyTest, ARootThatComesLaterOpensNothing) {
  const auto policy = MakePolicy(Reading({folder_.Path("later")}));
  folder_.MakeDir("later");
  EXPECT_FALSE(policy
                   ->Admit(Request(absl::StrCat("context_path: '",
                                                folder_.Path("later"), "'"))
                               .spec(),
                           {}, {"anonymous", false}, Nerdctl(), Staging())
                   .ok());
}

TEST_F(PolicyTest, ResolvesTextsForUntrustedCallersUnderTheRootsAlone) {
  folder_.WriteFile("w/secret", "");
  const auto policy = MakePolicy();
  const PathRules trusted = policy->PathRulesFor({"local", true});
  const PathRules untrusted = policy->PathRulesFor({"anonymous", false});
  EXPECT_EQ(trusted.working_folder, folder_.Path("w"));
  EXPECT_EQ(untrusted.working_folder, folder_.Path("w"));
  for (const std::string& path : std::vector<std::string>{
           std::string("secret"), std::string("."), std::string("../shut"),
           std::string("/etc/passwd"), folder_.Path("shut"),
           folder_.Path("open/out"), folder_.Path("shut/../open/ctx")}) {
    EXPECT_TRUE(trusted.exists(path)) << path;
    EXPECT_FALSE(untrusted.exists(path)) << path;
  }
  for (const std::string& path : std::vector<std::string>{
           folder_.Path("open"), folder_.Path("open/ctx/Dockerfile"),
           folder_.Path("open/in")}) {
    EXPECT_TRUE(trusted.exists(path)) << path;
    EXPECT_TRUE(untrusted.exists(path)) << path;
  }
  for (const std::string& path : std::vector<std::string>{
           std::string(), std::string("nowhere"), folder_.Path("open/nowhere"),
           folder_.Path("open/ctx/Dockerfile/"),
           folder_.Path("open/ctx") + std::string("\0", 1)}) {
    EXPECT_FALSE(trusted.exists(path)) << path;
    EXPECT_FALSE(untrusted.exists(path)) << path;
  }
}

TEST_F(PolicyTest, AnEmptyTextNamesNothing) {
  const auto policy = MakePolicy(Reading({folder_.path()}));
  const PathRules rules = policy->PathRulesFor({"anonymous", false});
  EXPECT_TRUE(rules.exists("."));
  EXPECT_FALSE(rules.exists(""));
}

TEST_F(PolicyTest, WarnsOfAllThatBuildRefuses) {
  const v1::BuildOptions options =
      Request(
          "context_path: 'ctx'"
          "build_arg { flag: true }"
          "output { values { values: 'a' values: 'b' } }"
          "options { name: 'output' value { text: 'c' } }"
          "options { name: 'Bad Name' value { text: 'c' } }"
          "options { name: 'tgo' value { text: 'c' } }"
          "options { name: 'no_cache' value { text: '/other' } }"
          "options { name: 'pull' value { flag: true } }"
          "options { name: 'tag' value { text: '' } }")
          .spec()
          .options();
  const NerdctlInfo nerdctl = Nerdctl();
  const std::vector<std::string> warnings =
      MakePolicy()->Warnings(options, {"local", true}, &nerdctl);
  for (const std::string field :
       {"options.options[0].name", "options.options[1].name",
        "options.options[2].name", "options.build_arg", "options.output",
        "options.options[3].value", "options.options[4].value",
        "options.options[5].value", "options.context_path"}) {
    EXPECT_THAT(warnings, testing::Contains(testing::StartsWith(
                              "Build would refuse " + field + ": ")));
  }
  // And nothing else: a warning is not an error's field path.
  EXPECT_THAT(warnings, testing::Each(Not(HasSubstr("spec."))));
  // Where nerdctl is not known, what it lacks is not known either.
  EXPECT_EQ(
      MakePolicy()->Warnings(options, {"local", true}, nullptr).size() + 1,
      warnings.size());
}

TEST_F(PolicyTest, WarnsOfSomeWhereMillionsAreWrong) {
  v1::BuildOptions options;
  for (int i = 0; i < 100'000; ++i) options.add_options();
  EXPECT_THAT(MakePolicy()->Warnings(options, {"anonymous", false}, nullptr),
              SizeIs(100));
}

TEST_F(PolicyTest, WarnsOfPairsThatConstructArgsRefuses) {
  EXPECT_THAT(MakePolicy()->Warnings(
                  Request(OneOption("tag", "pairs {}")).spec().options(),
                  {"local", true}, nullptr),
              ElementsAre(HasSubstr("options.options[0].value")));
}

TEST_F(PolicyTest, WarnsOfValuesThatNerdctlIgnores) {
  const NerdctlInfo nerdctl = Nerdctl();
  EXPECT_THAT(
      MakePolicy()->Warnings(
          Request(OneOption("target", "values { values: 'a' }") +
                  OneOption("tag", "values { values: 'a' values: 'b' }") +
                  OneOption("target", "text: 'b'"))
              .spec()
              .options(),
          {"local", true}, &nerdctl),
      ElementsAre("nerdctl takes one --target and uses only the last "
                  "of these 2."));
}

TEST_F(PolicyTest, WarnsOfNothingWhereBuildTakesIt) {
  const NerdctlInfo nerdctl = Nerdctl();
  EXPECT_THAT(MakePolicy()->Warnings({}, {"local", true}, &nerdctl), IsEmpty());
  // But of arguments that are not exactly those of Build.
  EXPECT_THAT(MakePolicy()->Warnings(
                  Request(absl::StrCat("context_path: '",
                                       folder_.Path("open/ctx"), "'"))
                      .spec()
                      .options(),
                  {"anonymous", false}, &nerdctl),
              ElementsAre(HasSubstr("the copies")));
}

TEST_F(PolicyTest, WarningsDoNotTellUntrustedCallersWhatExists) {
  const NerdctlInfo nerdctl = Nerdctl();
  const auto warnings = [&](const std::string& name) {
    const std::string path = folder_.Path(name);
    return MakePolicy()->Warnings(
        Request(absl::StrCat("context_path: '", path, "'",
                             OneOption("file", "text: '" + path + "'")))
            .spec()
            .options(),
        {"anonymous", false}, &nerdctl);
  };
  EXPECT_THAT(warnings("shut/ctx"), SizeIs(2));
  EXPECT_EQ(warnings("shut/ctx"), warnings("shut/no"));
}

}  // namespace
}  // namespace containerbuilder::service
